"""One process at a time applies the events of a corpus; a process that dies lets go.

Postgres holds the lock for a connection and SQLite's place is taken by a locked file: the server or
the kernel lets go when the process ends, however it ends, so that no lock has to be cleared by hand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import text

from rag_assets.errors import InboxUnavailable
from rag_assets.events.inbox.database import Database
from rag_assets.store.digest import digest

_LOOK_SECONDS = 0.2


def exclusive(database: Database, corpus: str, wait_seconds: float) -> AbstractContextManager[None]:
    """See ``Inbox.exclusive``."""
    if database.path is None:
        return _locked_in_postgres(database, corpus, wait_seconds)
    return _locked_file(database.path, corpus, wait_seconds)


@contextmanager
def _locked_in_postgres(database: Database, corpus: str, wait_seconds: float) -> Iterator[None]:
    # 64 bits, of which another program that uses such locks in the same database takes another value.
    key = int.from_bytes(bytes.fromhex(digest("rag-assets inbox", corpus))[:8], "big", signed=True)
    deadline = time.monotonic() + wait_seconds
    with database.translated("lock"):
        connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Out of the pool: closing it ends the session, and with it the lock.
        connection.detach()
    try:
        while True:
            with database.translated("lock"):
                if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar():
                    break
            if time.monotonic() > deadline:
                raise _busy(corpus, wait_seconds)
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        with database.translated("unlock"):
            connection.close()


@contextmanager
def _locked_file(database: Path, corpus: str, wait_seconds: float) -> Iterator[None]:
    path = database.with_name(f"{database.name}.{corpus}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait_seconds, poll_interval=_LOOK_SECONDS)
    except Timeout as error:
        raise _busy(corpus, wait_seconds) from error
    except OSError as error:
        raise InboxUnavailable(f"could not lock {path}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _busy(corpus: str, waited: float) -> InboxUnavailable:
    return InboxUnavailable(
        f"waited {waited:.0f} s to apply events of {corpus}: another run does so; when it has ended, try again"
    )
