"""Progress of long work, told to whoever shows it: a terminal, a log, nobody."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far a stage has come."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` units of a stage are dealt with."""
        ...


def silent(stage: str, done: int, total: int) -> None:
    """Tells nobody."""
