"""The inbox's one table, the same in Postgres and SQLite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    or_,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """A time with its zone, as microseconds since 1970: SQLite has no type for it, and numbers compare."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """To the database."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """From the database, in UTC."""
        return None if value is None else _EPOCH + value * _MICROSECOND


METADATA = MetaData()
changes = Table(
    "rag_inbox_changes",
    METADATA,
    # Numbers of rows that were forgotten never come again.
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("corpus", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("occurred", Moment, nullable=False),
    Column("sender", Text, nullable=False),
    Column("content", LargeBinary),
    Column("content_type", Text),
    Column("received", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run_id", Text),
    # Changes that the last attempt had taken and that had been taken as often or more often, this one included.
    # Null before the first attempt, and in rows of earlier versions.
    Column("together", Integer),
    Column("reason", Text),
    Column("snapshot", BigInteger),
    Column("publication", BigInteger),
    UniqueConstraint("corpus", "event", "position", name="rag_inbox_changes_once"),
    Index("rag_inbox_changes_document", "corpus", "document"),
    Index("rag_inbox_changes_state", "corpus", "state"),
    sqlite_autoincrement=True,
)


def later(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Both are changes of one document and ``one`` counts: it occurred later, or was written later of the two."""
    return and_(
        one.c.corpus == other.c.corpus,
        one.c.document == other.c.document,
        or_(
            one.c.occurred > other.c.occurred,
            and_(one.c.occurred == other.c.occurred, one.c.number > other.c.number),
        ),
    )
