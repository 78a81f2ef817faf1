"""The seam to SQLAlchemy: one URL, transactions, and the database's errors as ours.

Postgres and SQLite differ in what makes a commit durable, in how writers wait for one another and
in how a dead server is noticed. All of that is settled here, so that no other file knows which of
the two it talks to.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from rag_assets.errors import ConfigurationError, InboxUnavailable, install, redacted
from rag_assets.events.inbox.tables import METADATA, changes

POSTGRES = ("postgres", "postgresql", "postgresql+psycopg2")
SECONDS_TO_WAIT = 10
"""For a connection of the pool, and in SQLite for the other writers."""

_DAMAGED = re.compile(r"malformed|not a database|no such (table|column)|disk I/O error")
_ALLOWED = "allowed are postgresql://user:password@host/name and sqlite:///path"
_CREATION_KEY = 0x7261675F696E6278  # of Postgres' advisory lock while the table is made
_POSTGRES_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "application_name": "rag-assets inbox",
    # A server that is gone without a word is noticed, by either side, within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_POSTGRES_SESSION = """
SET statement_timeout = '30s'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
_SQLITE_SESSION = (
    f"PRAGMA busy_timeout = {SECONDS_TO_WAIT * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # in WAL mode the default loses commits when the power fails
    "PRAGMA secure_delete = ON",  # what is cleared is overwritten: documents may have to be erased
)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of changes. May be used by many threads at once.

    Attributes:
        shown: what messages call it; without user and password.
        path: of SQLite's file; None for Postgres.
    """

    engine: Engine
    shown: str
    path: Path | None

    @classmethod
    def open(cls, url: str | URL) -> Database:
        """Connect, and make the table where it is missing.

        Raises:
            ConfigurationError: no such kind of URL, a driver that is not installed, a folder that cannot be made.
            InboxUnavailable: the database did not answer.
        """
        parsed = _parsed(url)
        database = _postgres(parsed) if parsed.drivername in POSTGRES else _sqlite(parsed)
        database._make_table()
        return database

    @contextmanager
    def transaction(self, verb: str) -> Iterator[Connection]:
        """All or nothing, durable when it ends. ``verb`` says what is attempted. Raises InboxUnavailable."""
        with self.translated(verb), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def translated(self, verb: str) -> Iterator[None]:
        """The database's errors as InboxUnavailable."""
        try:
            yield
        except SQLAlchemyError as error:
            advice = "check that the database runs and that RAG_INBOX leads to it"
            if self.path is not None and _DAMAGED.search(_reason(error)):
                advice = (
                    "the file is damaged: put it back from a backup, or delete it together with its -wal and -shm files. "
                    "Then events that no publication contains are lost: have them sent again, and run the corpus"
                )
            raise InboxUnavailable(
                f"could not {verb} the inbox {self.shown}: {_reason(error)}; {advice}"
            ) from error

    def truncate_log(self) -> None:
        """Take what was cleared out of SQLite's write-ahead log, unless someone reads it. Postgres does so in time."""
        if self.path is not None:
            with self.translated("tidy"), closing(self.engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _make_table(self) -> None:
        with self.transaction("open") as connection:
            if _has_all_columns(connection):
                return
            if self.path is None:
                # IF NOT EXISTS alone fails for one of two who make it at once.
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_CREATION_KEY})"))
            METADATA.create_all(connection)
            if not _has_all_columns(connection):  # made by a version that had no such column
                connection.execute(text(f"ALTER TABLE {changes.name} ADD COLUMN together INTEGER"))


def _has_all_columns(connection: Connection) -> bool:
    found = inspect(connection)
    return found.has_table(changes.name) and any(
        column["name"] == "together" for column in found.get_columns(changes.name)
    )


def _parsed(url: str | URL) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise ConfigurationError(f"inbox {redacted(repr(str(url)))} is not a URL: {_ALLOWED}") from error


def _postgres(url: URL) -> Database:
    url = url.set(drivername="postgresql+psycopg2")
    shown = f"postgresql://{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"
    try:
        engine = create_engine(
            url,
            connect_args=_POSTGRES_OPTIONS,
            hide_parameters=True,
            pool_pre_ping=True,  # the server may have been restarted since
            pool_size=5,
            max_overflow=15,
            pool_timeout=SECONDS_TO_WAIT,
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"an inbox in Postgres needs the package psycopg2: {install('deploy')}"
        ) from error

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_POSTGRES_SESSION)
        connection.autocommit = False

    return Database(engine, shown, None)


def _sqlite(url: URL) -> Database:
    if url.drivername != "sqlite" or url.database in (None, "", ":memory:") or url.query:
        shown = redacted(repr(url.render_as_string(hide_password=True)))
        raise ConfigurationError(f"inbox {shown}: {_ALLOWED}")
    try:
        path = Path(str(url.database)).expanduser().resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter: no such user, or a link to itself
        raise ConfigurationError(
            f"inbox {url.database}: cannot make the folder of the file: {error}"
        ) from error
    engine = create_engine(
        URL.create("sqlite", database=str(path)), hide_parameters=True, pool_timeout=SECONDS_TO_WAIT
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions; ``_begin`` does
        # To change the journal SQLite wants the file alone, and gives up at once when another process
        # that opens or closes it wants the same.
        for attempt in Retrying(
            retry=retry_if_exception_type(sqlite3.OperationalError),
            stop=stop_after_delay(SECONDS_TO_WAIT),
            wait=wait_random(0.01, 0.1),
            reraise=True,
        ):
            with attempt:
                for pragma in _SQLITE_SESSION:
                    connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # At once, and not at the first write: one who has read cannot wait for another writer any more.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return Database(engine, str(path), path)


def _reason(error: SQLAlchemyError) -> str:
    """First line of what the driver said: the rest may hold a statement."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return redacted(lines[0])
