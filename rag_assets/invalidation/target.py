"""The contract of a target: one method, and how it says that it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rag_assets.errors import ConfigurationError, TargetUnavailable

if TYPE_CHECKING:
    # It loads Polars, which the cache of a service does not need.
    from rag_assets.invalidation.notice import Notice


class TargetRefused(ConfigurationError):
    """A target does not take the notice and never will: address, secret or set-up is wrong."""


class TargetBusy(TargetUnavailable):
    """A target is there but cannot take the notice now.

    ``pause`` is how many seconds it asks to be left alone, 0 if it does not say.
    """

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause


class Superseded(TargetUnavailable):
    """A target ignored the notice: it follows another ledger, or lost its data while it was told.

    ``epoch`` is the one that it follows, "" for none. Only a later one is listened to.
    """

    def __init__(self, message: str, epoch: str = "") -> None:
        super().__init__(message)
        self.epoch = epoch


class Target(Protocol):
    """Who is told what to forget. Used by one thread at a time."""

    def send(self, notice: Notice) -> None:
        """Forget what the notice names. When this returns, it is done for good.

        A notice may come twice, and after a failure an earlier page may come again: doing it
        twice must be the same as once. Pages come in order, and never one that is older than
        what was taken.

        Raises:
            TargetUnavailable: not now; it is sent again.
            TargetRefused: never; what is due becomes a dead letter.
            Superseded: it was ignored; a new epoch begins.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """A target that knows what it was told of last, so that neither side can be put back unnoticed."""

    def told(self, epoch: str) -> int | None:
        """The publication that it was told of last; None when it was told nothing in this epoch.

        Raises:
            TargetUnavailable, TargetRefused: as ``send``.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """A target that can lose what it was told, and can say so."""

    def remembers(self, publication: int, epoch: str) -> bool:
        """Whether it still knows that it was told of a publication (see ``Notice.epoch``).

        If not, it is told to forget everything.

        Raises:
            TargetUnavailable, TargetRefused: as ``send``.
        """
        ...
