"""The ledger of one target: what it was told, what it is due, and what it could not be told.

``corpora/<name>/invalidation/<target>.json``, written whole by whoever holds the target's lease.
Who is killed between a delivery and its entry leaves the old ledger, and the next one repeats.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from rag_assets.invalidation.notice import Span
from rag_assets.store.files import json_bytes
from rag_assets.store.objects import ObjectNotFound, ObjectStore

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
KEPT_DEAD_LETTERS = 50


def _with_zone(time: str) -> str:
    if datetime.fromisoformat(time).tzinfo is None:
        raise ValueError("a time without a zone")
    return time


Time = Annotated[str, AfterValidator(_with_zone)]
Number = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a target could not be told, why, and when that was given up."""

    span: Span
    reason: str
    time: Time


@dataclass(frozen=True, slots=True)
class Ledger:
    """One target's entries.

    Attributes:
        target: name of the target.
        identity: of what stands behind the name; another one has been told nothing.
        epoch: when this ledger began, ISO 8601, UTC.
        publication: what the target was told of, or what was given up as dead.
        candidate: tag of the candidate that was published under this number; empty where it is not known. Numbers
            begin again when an index was lost, tags never.
        erasure: the same for erasures.
        telling: up to where a target that counts (``Counting``) may have been told beyond ``publication``,
            by a delivery whose end was never entered.
        everything: the target must forget all of the corpus before anything else.
        attempts: failed deliveries in a row.
        error: why the last one failed, without secrets; None after a success.
        next_attempt: when the next delivery may be tried; None at once.
        delivered_at: time of the last success.
        dead: what was given up, the oldest first.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    target: str
    identity: str
    epoch: Time
    publication: Number = 0
    candidate: str = ""
    erasure: Number = 0
    telling: Number = 0
    everything: bool = True
    attempts: Number = 0
    error: str | None = None
    next_attempt: Time | None = None
    delivered_at: Time | None = None
    dead: tuple[DeadLetter, ...] = ()

    def due(self, publication: int, erasure: int) -> Span:
        """What the target has not been told yet; may be empty. Dead letters are not part of it."""
        if self.everything:
            return Span(0, publication, 0, erasure, everything=True)
        return Span(self.publication, publication, self.erasure, erasure)

    def speaks_of(self, identity: str, publication: int, erasure: int, candidate: str) -> bool:
        """Whether this is the ledger of who stands behind the name now, and of this history.

        A ledger that knows more than the store is of a store that was put back to an earlier state; one that knows
        another candidate under its number, of an index that was lost and built anew.

        Args:
            identity: of what stands behind the target's name now.
            publication: the newest one.
            erasure: the newest one.
            candidate: published under this ledger's number as the log tells it; empty where it does not.
        """
        return (
            self.identity == identity
            and self.publication <= publication
            and self.erasure <= erasure
            and ("" in (candidate, self.candidate) or candidate == self.candidate)
        )

    def fits(self, told: int | None) -> bool:
        """Whether a target that counts can have been told up to there by deliveries under this ledger.

        If it was told less, it lost something; if more, this ledger was put back to an earlier state.
        """
        return told is not None and self.publication <= told <= max(self.publication, self.telling)

    def anew(self, now: datetime, known: str = "") -> Ledger:
        """The ledger in a new epoch, later than its own and than ``known``, that of the target: forget everything."""
        epoch = now.isoformat()
        if (latest := max(self.epoch, known)) >= epoch:  # a clock was wrong
            with suppress(ValueError, OverflowError):  # no epoch of ours; the target goes on failing
                after = datetime.fromisoformat(latest) + timedelta(microseconds=1)
                epoch = (after if after.tzinfo else after.replace(tzinfo=UTC)).isoformat()
        return replace(self, epoch=epoch, everything=True)

    def with_dead(self, span: Span) -> Span:
        """A span that holds the dead letters, too: up to the present, so it is never old."""
        for letter in self.dead:
            span = span.joined(letter.span)
        return span

    def waits(self, now: datetime) -> bool:
        """Whether the next delivery must not be tried yet."""
        return self.next_attempt is not None and datetime.fromisoformat(self.next_attempt) > now

    def delivered(self, span: Span, candidate: str, now: datetime) -> Ledger:
        """The ledger after a success. A span that holds the dead letters brings them back to life.

        Args:
            span: what was told.
            candidate: of the publication up to which the span reaches.
            now: the time.
        """
        dead = tuple(letter for letter in self.dead if span.joined(letter.span) != span)
        return replace(
            self,
            publication=max(self.publication, span.publication),
            candidate=candidate,
            erasure=max(self.erasure, span.erasure),
            everything=self.everything and not span.everything,
            attempts=0,
            error=None,
            next_attempt=None,
            delivered_at=now.isoformat(),
            dead=dead,
        )

    def failed(self, error: str, now: datetime, pause: timedelta) -> Ledger:
        """The ledger after a failure that may pass: wait longer each time, and at least ``pause``."""
        # Beyond 2¹² the pause is the longest anyway.
        grown = FIRST_PAUSE * 2 ** min(self.attempts, 12)
        wait = min(max(grown, pause), LONGEST_PAUSE)
        return replace(self, attempts=self.attempts + 1, error=error, next_attempt=(now + wait).isoformat())

    def given_up(self, due: Span, candidate: str, error: str, now: datetime) -> Ledger:
        """The ledger after what is due became a dead letter: what comes later flows on.

        Args:
            due: what is given up.
            candidate: of the publication up to which it reaches.
            error: why, without secrets.
            now: the time.
        """
        dead = self.dead
        if not due.empty:
            dead = (*dead, DeadLetter(due, error, now.isoformat()))
        if len(dead) > KEPT_DEAD_LETTERS:
            dead = (replace(dead[0], span=dead[0].span.joined(dead[1].span)), *dead[2:])
        return replace(
            self,
            publication=max(self.publication, due.publication),
            candidate=candidate,
            erasure=max(self.erasure, due.erasure),
            everything=False,
            attempts=0,
            error=error,
            next_attempt=None,
            dead=dead,
        )


_RECORD = TypeAdapter(Ledger)


def read_ledger(objects: ObjectStore, corpus: str, target: str) -> Ledger | None:
    """A target's ledger; None when there is none, or one of which anything is damaged.

    Without a ledger a target is told to forget everything, which also makes up for a damaged one.
    """
    try:
        found = _RECORD.validate_json(objects.get(_path(corpus, target)), strict=True)
    except (ObjectNotFound, ValidationError):
        return None
    return found if found.target == target else None


def write_ledger(objects: ObjectStore, corpus: str, ledger: Ledger) -> None:
    """Write a target's ledger, whole."""
    objects.put(_path(corpus, ledger.target), json_bytes(asdict(ledger)))


def _path(corpus: str, target: str) -> str:
    return f"corpora/{corpus}/invalidation/{target}.json"
