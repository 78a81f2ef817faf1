"""Which changes a run gets: the newest of each document, the urgent first, batch after batch.

Selection goes by state and never by "everything after number n": two deliveries that are written at
once may become visible in the other order than their numbers have, and a cursor would pass over one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)

from rag_assets.events.inbox.event import URGENT, Among, Brought, Change, Received, Suspects
from rag_assets.events.inbox.tables import changes, later

_newer = changes.alias("newer")
_IS_NEWER: ColumnElement[bool] = and_(
    later(_newer, changes),
    # What was set aside says nothing about its document. Every other state does: an old event that
    # comes after a newer one was applied must not undo it.
    _newer.c.state.not_in(("dead", "dropped")),
)
_OVERTAKEN: ColumnElement[bool] = and_(
    # Whatever comes after it, what was there before has to go.
    changes.c.kind != "erase",
    exists(select(_newer.c.number).where(_IS_NEWER).correlate(changes)),
)


def supersede(connection: Connection, corpus: str) -> int:
    """Void pending changes that have a newer one of the same document. Returns how many."""
    newest = select(_newer.c.event).where(_IS_NEWER).correlate(changes)
    newest = newest.order_by(_newer.c.occurred.desc(), _newer.c.number.desc()).limit(1)
    return connection.execute(
        update(changes)
        .where(changes.c.corpus == corpus, changes.c.state == "pending", _OVERTAKEN)
        .values(
            state="superseded",
            changed=datetime.now(UTC),
            content=None,
            reason=literal("a newer event names the document: ").concat(newest.scalar_subquery()),
        )
    ).rowcount


def take(
    connection: Connection, corpus: str, run_id: str, limit: int, max_bytes: int, among: Among
) -> list[Received]:
    """See ``Inbox.take``."""
    pending = and_(changes.c.corpus == corpus, changes.c.state == "pending")
    waiting = and_(pending, _is_among(among), or_(changes.c.run_id.is_(None), changes.c.run_id != run_id))
    erasures = select(changes.c.number).where(waiting, changes.c.kind == "erase").order_by(changes.c.number)
    numbers = [*connection.execute(erasures.limit(limit)).scalars()]
    if not numbers:
        supersede(connection, corpus)
        candidates = connection.execute(
            select(changes.c.number, func.coalesce(func.length(changes.c.content), 0))
            # Once more not overtaken: a newer one may have come since the statement above.
            .where(waiting, ~_OVERTAKEN)
            .order_by(case((changes.c.kind.in_(URGENT), 0), else_=1), changes.c.number)
            .limit(limit)
        )
        numbers = _within(candidates.tuples().all(), max_bytes)
    rows = connection.execute(
        update(changes)
        .where(changes.c.number.in_(numbers), changes.c.state == "pending")
        .values(attempts=changes.c.attempts + 1, run_id=run_id)
        .returning(changes)
    ).all()
    _count_peers(connection, and_(pending, changes.c.run_id == run_id))
    place = {number: index for index, number in enumerate(numbers)}
    return [_received(row) for row in sorted(rows, key=lambda row: place[row.number])]


def _count_peers(connection: Connection, taken: ColumnElement[bool]) -> None:
    """Note with each change that a run has taken how many of these have been taken as often or more often."""
    groups = connection.execute(
        select(changes.c.attempts, func.count())
        .where(taken)
        .group_by(changes.c.attempts)
        .order_by(changes.c.attempts.desc())
    )
    together = 0
    for attempts, count in groups.tuples().all():
        together += count
        connection.execute(
            update(changes).where(taken, changes.c.attempts == attempts).values(together=together)
        )


def release(connection: Connection, corpus: str, run_id: str) -> int:
    """See ``Inbox.release``."""
    return connection.execute(
        update(changes)
        .where(changes.c.corpus == corpus, changes.c.state == "pending", changes.c.run_id == run_id)
        .values(
            attempts=changes.c.attempts - 1,
            # What a run had failed over before stays a suspect.
            run_id=case((changes.c.attempts > 1, changes.c.run_id)),
            together=case((changes.c.attempts > 1, changes.c.together)),
        )
    ).rowcount


def suspects(connection: Connection, corpus: str) -> list[Suspects]:
    """See ``Inbox.suspects``."""
    size = func.coalesce(func.max(changes.c.together), func.count())
    found = connection.execute(
        select(changes.c.run_id, size)
        .where(changes.c.corpus == corpus, changes.c.state == "pending", changes.c.run_id.is_not(None))
        .group_by(changes.c.run_id)
        .order_by(func.min(changes.c.attempts), func.min(changes.c.number))
    )
    return [Suspects(*row) for row in found.tuples()]


def _is_among(among: Among) -> ColumnElement[bool]:
    match among:
        case Suspects():
            return changes.c.run_id == among.run_id
        case "fresh":
            return changes.c.run_id.is_(None)
        case "all":
            return true()


def brought(connection: Connection, corpus: str, documents: Sequence[str]) -> dict[str, Brought]:
    """See ``Inbox.brought``."""
    created = case((changes.c.kind == "created", changes.c.occurred))
    applied = case((changes.c.state.in_(("applied", "done")), changes.c.occurred))
    snapshot = case((changes.c.kind == "created", changes.c.snapshot))
    found = connection.execute(
        select(changes.c.document, func.max(created), func.max(applied), func.max(snapshot))
        .where(
            changes.c.corpus == corpus,
            changes.c.document.in_(documents),
            changes.c.kind.in_(("created", "updated")),
            changes.c.state.not_in(("dead", "dropped")),
        )
        .group_by(changes.c.document)
    )
    return {document: Brought(*rest) for document, *rest in found.tuples()}


def _within(candidates: Sequence[tuple[int, int]], max_bytes: int) -> list[int]:
    """The first of them whose sizes stay below the bound together; at least one, so that none is stuck."""
    numbers: list[int] = []
    for number, size in candidates:
        max_bytes -= size
        if max_bytes < 0 and numbers:
            break
        numbers.append(number)
    return numbers


def _received(row: Row[tuple[object, ...]]) -> Received:
    change = Change(
        event=row.event,
        document=row.document,
        kind=row.kind,
        occurred=row.occurred,
        sender=row.sender,
        content=None if row.content is None else bytes(row.content),
        content_type=row.content_type,
    )
    return Received(row.number, change, row.received, row.attempts)
