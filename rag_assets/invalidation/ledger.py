"""The ledger of one target: what it was told, what it is due, and what it could not be told.

``corpora/<name>/invalidation/<target>.json``, written whole by whoever holds the target's lease.
Who is killed between a delivery and its entry leaves the old ledger, and the next one repeats.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rag_assets.invalidation.notice import Span
from rag_assets.store.files import ObjectDamaged, read_json
from rag_assets.store.objects import ObjectNotFound, ObjectStore

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
KEPT_DEAD_LETTERS = 50


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a target could not be told, why, and when that was given up."""

    span: Span
    reason: str
    time: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """One target's entries.

    Attributes:
        target: name of the target.
        identity: of what stands behind the name; another one has been told nothing.
        epoch: when this ledger began, ISO 8601, UTC.
        publication: what the target was told of, or what was given up as dead.
        erasure: the same for erasures.
        everything: the target must forget all of the corpus before anything else.
        attempts: failed deliveries in a row.
        error: why the last one failed, without secrets; None after a success.
        next_attempt: when the next delivery may be tried; None at once.
        delivered_at: time of the last success.
        dead: what was given up, the oldest first.
    """

    target: str
    identity: str
    epoch: str
    publication: int = 0
    erasure: int = 0
    everything: bool = True
    attempts: int = 0
    error: str | None = None
    next_attempt: str | None = None
    delivered_at: str | None = None
    dead: tuple[DeadLetter, ...] = ()

    def due(self, publication: int, erasure: int) -> Span:
        """What the target has not been told yet; may be empty. Dead letters are not part of it."""
        if self.everything:
            return Span(0, publication, 0, erasure, everything=True)
        return Span(self.publication, publication, self.erasure, erasure)

    def speaks_of(self, identity: str, publication: int, erasure: int) -> bool:
        """Whether this is the ledger of who stands behind the name now, and of this history.

        A ledger that knows more than the store is of a store that was put back to an earlier state.
        """
        return self.identity == identity and self.publication <= publication and self.erasure <= erasure

    def with_dead(self, span: Span) -> Span:
        """A span that holds the dead letters, too: up to the present, so it is never old."""
        for letter in self.dead:
            span = span.joined(letter.span)
        return span

    def waits(self, now: datetime) -> bool:
        """Whether the next delivery must not be tried yet."""
        return self.next_attempt is not None and datetime.fromisoformat(self.next_attempt) > now

    def delivered(self, span: Span, now: datetime) -> Ledger:
        """The ledger after a success. A span that holds the dead letters brings them back to life."""
        dead = tuple(letter for letter in self.dead if span.joined(letter.span) != span)
        return replace(
            self,
            publication=max(self.publication, span.publication),
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

    def given_up(self, due: Span, error: str, now: datetime) -> Ledger:
        """The ledger after what is due became a dead letter: what comes later flows on."""
        dead = self.dead
        if not due.empty:
            dead = (*dead, DeadLetter(due, error, now.isoformat()))
        if len(dead) > KEPT_DEAD_LETTERS:
            dead = (replace(dead[0], span=dead[0].span.joined(dead[1].span)), *dead[2:])
        return replace(
            self,
            publication=max(self.publication, due.publication),
            erasure=max(self.erasure, due.erasure),
            everything=False,
            attempts=0,
            error=error,
            next_attempt=None,
            dead=dead,
        )


def read_ledger(objects: ObjectStore, corpus: str, target: str) -> Ledger | None:
    """A target's ledger; None when there is none, or none that can be read.

    Without a ledger a target is told to forget everything, which also makes up for a damaged one.
    """
    try:
        found: dict[str, Any] = read_json(objects, _path(corpus, target))
        dead = tuple(DeadLetter(**{**letter, "span": Span(**letter["span"])}) for letter in found["dead"])
        return Ledger(**{**found, "dead": dead})
    except (ObjectNotFound, ObjectDamaged, KeyError, TypeError):
        return None


def write_ledger(objects: ObjectStore, corpus: str, ledger: Ledger) -> None:
    """Write a target's ledger, whole."""
    objects.put(_path(corpus, ledger.target), json.dumps(asdict(ledger), indent=2).encode())


def _path(corpus: str, target: str) -> str:
    return f"corpora/{corpus}/invalidation/{target}.json"
