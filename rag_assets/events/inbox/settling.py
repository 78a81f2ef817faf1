"""What became of changes: applied, done, dead, forgotten. Content goes as soon as nothing needs it.

Every function changes only rows that are in the state it expects, so that doing it twice is the same
as doing it once and nothing comes back from a final state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import Connection, String, and_, cast, delete, exists, literal, select, update

from rag_assets.events.inbox.event import State
from rag_assets.events.inbox.tables import changes, later

_AT_ONCE = 1000
FORGOTTEN: tuple[State, ...] = ("done", "superseded", "dropped")
"""States whose rows go in the end. Dead ones stay until a person has looked at them."""


def applied(connection: Connection, numbers: Iterable[int], snapshot: int, notes: Mapping[int, str]) -> None:
    """See ``Inbox.applied``."""
    remaining = iter(numbers)
    while batch := [*islice(remaining, _AT_ONCE)]:
        connection.execute(
            update(changes)
            .where(changes.c.number.in_(batch), changes.c.state == "pending")
            .values(state="applied", snapshot=snapshot, changed=datetime.now(UTC), content=None)
        )
        erasure = changes.alias("erasure")
        demanded = and_(later(erasure, changes), erasure.c.number.in_(batch), erasure.c.kind == "erase")
        # Dead events keep their content for another try; not that of an erased document.
        connection.execute(
            update(changes)
            .where(
                changes.c.content.is_not(None),
                exists(select(erasure.c.number).where(demanded).correlate(changes)),
            )
            .values(content=None)
        )

    for number, note in notes.items():
        connection.execute(
            update(changes)
            .where(changes.c.number == number, changes.c.state == "applied")
            .values(reason=note)
        )


def undo(connection: Connection, corpus: str, erased: Mapping[str, datetime], reason: str) -> int:
    """See ``Inbox.undo``."""
    undone = 0
    for document, occurred in erased.items():
        undone += connection.execute(
            update(changes)
            .where(
                changes.c.corpus == corpus,
                changes.c.document == document,
                changes.c.kind == "updated",
                changes.c.state.in_(("applied", "done")),
                changes.c.occurred > occurred,
            )
            .values(state="dead", reason=reason, changed=datetime.now(UTC))
        ).rowcount
    return undone


def revive(connection: Connection, corpus: str, documents: Sequence[str], reason: str) -> int:
    """See ``Inbox.revive``."""
    return connection.execute(
        update(changes)
        .where(
            changes.c.corpus == corpus,
            changes.c.document.in_(documents),
            changes.c.state == "dead",
            changes.c.reason == reason,
        )
        .values(state="pending", run_id=None, together=None, changed=datetime.now(UTC))
    ).rowcount


def dead(connection: Connection, reasons: Mapping[int, str]) -> None:
    """See ``Inbox.dead``."""
    for number, reason in reasons.items():
        connection.execute(
            update(changes)
            .where(changes.c.number == number, changes.c.state == "pending")
            .values(state="dead", reason=reason, changed=datetime.now(UTC))
        )


def give_up(connection: Connection, corpus: str, max_attempts: int) -> int:
    """See ``Inbox.give_up``."""
    attempts = cast(changes.c.attempts, String)
    return connection.execute(
        update(changes)
        .where(
            changes.c.corpus == corpus,
            changes.c.state == "pending",
            changes.c.attempts >= max_attempts,
            changes.c.together == 1,
        )
        .values(
            state="dead",
            changed=datetime.now(UTC),
            reason=literal("runs that took it and failed: ")
            .concat(attempts)
            .concat(", the last was ")
            .concat(changes.c.run_id),
        )
    ).rowcount


def acknowledge(connection: Connection, corpus: str, snapshot: int, publication: int) -> int:
    """See ``Inbox.acknowledge``."""
    return connection.execute(
        update(changes)
        .where(changes.c.corpus == corpus, changes.c.state == "applied", changes.c.snapshot <= snapshot)
        .values(state="done", publication=publication, changed=datetime.now(UTC))
    ).rowcount


def forget(connection: Connection, before: datetime) -> int:
    """See ``Inbox.forget``."""
    return connection.execute(
        delete(changes).where(changes.c.state.in_(FORGOTTEN), changes.c.changed < before)
    ).rowcount
