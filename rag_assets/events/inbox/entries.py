"""The inbox as people look at it and set it right."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, case, func, select, update

from rag_assets.events.inbox.entry import Entry
from rag_assets.events.inbox.event import URGENT, Pending, State
from rag_assets.events.inbox.tables import changes

_COLUMNS = [column for column in changes.c if column.name not in ("content", "together")]
_SIZE = func.length(changes.c.content).label("size")


def newest(connection: Connection, corpus: str | None, state: State | None, limit: int) -> list[Entry]:
    """See ``Inbox.list``."""
    conditions = [
        column == value
        for column, value in ((changes.c.corpus, corpus), (changes.c.state, state))
        if value is not None
    ]
    return _entries(connection, conditions, changes.c.number.desc(), limit)


def of_event(connection: Connection, corpus: str, event: str) -> list[Entry]:
    """See ``Inbox.find``."""
    conditions = [changes.c.corpus == corpus, changes.c.event == event]
    return _entries(connection, conditions, changes.c.position, None)


def retry(connection: Connection, corpus: str, event: str) -> int:
    """See ``Inbox.retry``."""
    return connection.execute(
        update(changes)
        .where(changes.c.corpus == corpus, changes.c.event == event, changes.c.state == "dead")
        .values(
            state="pending", attempts=0, run_id=None, together=None, reason=None, changed=datetime.now(UTC)
        )
    ).rowcount


def drop(connection: Connection, corpus: str, event: str, reason: str) -> int:
    """See ``Inbox.drop``."""
    return connection.execute(
        update(changes)
        .where(changes.c.corpus == corpus, changes.c.event == event, changes.c.state.in_(("pending", "dead")))
        .values(state="dropped", reason=reason, content=None, changed=datetime.now(UTC))
    ).rowcount


def counts(connection: Connection) -> dict[str, dict[State, int]]:
    """See ``Inbox.counts``."""
    found: dict[str, dict[State, int]] = {}
    rows = connection.execute(
        select(changes.c.corpus, changes.c.state, func.count()).group_by(changes.c.corpus, changes.c.state)
    )
    for corpus, state, count in rows.tuples():
        found.setdefault(corpus, {})[state] = count
    return found


def pending(connection: Connection, corpus: str) -> Pending:
    """See ``Inbox.pending``."""
    row = connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(case((changes.c.kind.in_(URGENT), 1), else_=0)), 0),
            func.min(changes.c.received),
            func.max(changes.c.received),
            func.coalesce(func.max(changes.c.number), 0),
            func.coalesce(func.sum(changes.c.attempts), 0),
        ).where(changes.c.corpus == corpus, changes.c.state == "pending")
    ).one()
    return Pending(*row)


def _entries(
    connection: Connection,
    conditions: list[ColumnElement[bool]],
    order: ColumnElement[object],
    limit: int | None,
) -> list[Entry]:
    rows = connection.execute(select(*_COLUMNS, _SIZE).where(*conditions).order_by(order).limit(limit))
    return [Entry(**row) for row in rows.mappings()]
