"""What every target was told, what it is due and what was given up; for people, checks and metrics."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from rag_assets import corpus as models
from rag_assets.errors import NotPublished
from rag_assets.invalidation.ledger import DeadLetter, Ledger, read_ledger
from rag_assets.invalidation.open import identity_of
from rag_assets.invalidation.published import Published
from rag_assets.store.objects import ObjectStore

State = Literal["delivered", "behind", "dead"]


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """The state of one target.

    Attributes:
        target: its name.
        type: redis, webhook, cdn or python.
        state: delivered; behind (something is due); dead (something was given up: retry it).
        publication: the last publication that it was told of, or that was given up; 0 for none.
        head: what readers see; 0 before the first publication.
        behind: publications that it has not been told of; all of them where it must forget everything.
        erasures_behind: the same for erasures.
        attempts: deliveries in a row that failed.
        error: why the last one failed, without secrets.
        next_attempt: when it may be tried again, ISO 8601; None at once.
        delivered_at: time of the last success, ISO 8601.
        dead: what was given up, the oldest first.
    """

    target: str
    type: str
    state: State
    publication: int
    head: int
    behind: int
    erasures_behind: int
    attempts: int
    error: str | None
    next_attempt: str | None
    delivered_at: str | None
    dead: tuple[DeadLetter, ...]


def status(objects: ObjectStore, corpus: models.Corpus) -> list[TargetStatus]:
    """The state of each target of the corpus file. Asks only the store, needs no secrets."""
    targets = corpus.invalidation.targets if corpus.invalidation else ()
    # Before the logs: a delivery meanwhile must not look like a ledger that knows too much.
    ledgers = [read_ledger(objects, corpus.name, target.name) for target in targets]
    published = None
    with suppress(NotPublished):
        published = Published(objects, corpus.name)
    head, erasure = (published.publication, published.erasure) if published else (0, 0)
    found = []
    for target, ledger in zip(targets, ledgers, strict=True):
        identity = identity_of(target)
        candidate = published.candidate_of(ledger.publication) if published and ledger else ""
        if ledger is None or not ledger.speaks_of(identity, head, erasure, candidate):
            ledger = Ledger(target.name, identity, epoch="")
        due = ledger.due(head, erasure)
        # Before the first publication nobody can have cached anything.
        late = head > 0 and not due.empty
        found.append(
            TargetStatus(
                target=target.name,
                type=target.type,
                state="dead" if ledger.dead else "behind" if late else "delivered",
                publication=ledger.publication,
                head=head,
                behind=due.publication - due.after,
                erasures_behind=due.erasure - due.erased_after,
                attempts=ledger.attempts,
                error=ledger.error,
                next_attempt=ledger.next_attempt,
                delivered_at=ledger.delivered_at,
                dead=ledger.dead,
            )
        )
    return found
