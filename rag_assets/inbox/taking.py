"""Which changes a run gets: the newest of each document, the urgent first, batch after batch.

Selection goes by state and never by "everything after number n": two deliveries that are written at
once may become visible in the other order than their numbers have, and a cursor would pass over one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Row, and_, case, exists, func, literal, or_, select, update

from rag_assets.inbox.event import URGENT, Brought, Change, Received
from rag_assets.inbox.tables import changes, later

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


def take(connection: Connection, corpus: str, run_id: str, limit: int, max_bytes: int) -> list[Received]:
    """See ``Inbox.take``."""
    waiting = and_(
        changes.c.corpus == corpus,
        changes.c.state == "pending",
        or_(changes.c.run_id.is_(None), changes.c.run_id != run_id),
    )
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
    place = {number: index for index, number in enumerate(numbers)}
    return [_received(row) for row in sorted(rows, key=lambda row: place[row.number])]


def release(connection: Connection, corpus: str, run_id: str) -> int:
    """See ``Inbox.release``."""
    return connection.execute(
        update(changes)
        .where(changes.c.corpus == corpus, changes.c.state == "pending", changes.c.run_id == run_id)
        .values(attempts=changes.c.attempts - 1, run_id=None)
    ).rowcount


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
