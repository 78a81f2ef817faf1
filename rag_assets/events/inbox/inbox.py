"""The inbox's contract, in Postgres or SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

from sqlalchemy import URL, insert, select
from sqlalchemy.exc import IntegrityError

from rag_assets.events.inbox import entries, settling, taking
from rag_assets.events.inbox.database import Database
from rag_assets.events.inbox.entry import Entry
from rag_assets.events.inbox.event import Among, Brought, Change, Pending, Received, State, Suspects
from rag_assets.events.inbox.exclusive import exclusive
from rag_assets.events.inbox.tables import changes

REMEMBERED = timedelta(days=30)
"""How long an event that came to its end is known, and so how long a repetition of it is noticed."""
BATCH_ROWS = 1_000
BATCH_BYTES = 64_000_000


class Inbox:
    """Changes and their states. May be used by many threads and processes at once.

    Every method raises InboxUnavailable when the database does not answer. What was under way then
    has happened as a whole or not at all, and may be done again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str | URL) -> Inbox:
        """Connect, and make the table where it is missing.

        Args:
            url: ``postgresql://user:password@host/name`` or ``sqlite:///path``.

        Raises:
            ConfigurationError: any other URL, or a driver that is not installed.
        """
        return cls(Database.open(url))

    def close(self) -> None:
        """Let go of the connections."""
        self._database.engine.dispose()

    def ready(self) -> None:
        """Return if the database answers."""
        with self._database.transaction("read") as connection:
            connection.execute(select(changes.c.number).limit(1))

    def accept(self, corpus: str, delivery: Sequence[Change]) -> bool:
        """Write a delivery, durably; False if its event is known already, and nothing is written.

        Of concurrent callers with the same event exactly one gets True.

        Args:
            corpus: whose documents they are.
            delivery: the changes of one event in their order, at least one.
        """
        assert len({change.event for change in delivery}) == 1, "a delivery is one event"
        now = datetime.now(UTC)
        rows = [_row(corpus, position, change, now) for position, change in enumerate(delivery)]
        with self._database.translated("write to"):
            try:
                with self._database.engine.begin() as connection:
                    connection.execute(insert(changes), rows)
            except IntegrityError:
                return False
        return True

    def pending(self, corpus: str) -> Pending:
        """What waits."""
        with self._database.transaction("read") as connection:
            return entries.pending(connection, corpus)

    def exclusive(self, corpus: str, wait_seconds: float = 60.0) -> AbstractContextManager[None]:
        """Let one process at a time apply events of a corpus. One that dies lets go.

        Raises:
            InboxUnavailable: another one has not let go in time.
        """
        return exclusive(self._database, corpus, wait_seconds)

    def take(
        self,
        corpus: str,
        run_id: str,
        limit: int = BATCH_ROWS,
        max_bytes: int = BATCH_BYTES,
        among: Among = "all",
    ) -> Sequence[Received]:
        """Some pending changes for a run; the next call gives others, and nothing when all are taken.

        Erasures come first and by themselves: they change what else counts. Then deletions, then what
        came first. Apart from erasures, each is the newest of its document: of two, the one that
        occurred later counts, and at the same moment the one with the greater number. The attempt is
        on record before this returns, so a run that dies is counted. To be called under ``exclusive``.

        Args:
            corpus: whose documents they are.
            run_id: of the attempt: a second attempt under the same name gets nothing again.
            limit: changes, at most.
            max_bytes: of content, at most; one change is given even if it is larger.
            among: which of the pending changes.
        """
        with self._database.transaction("take from") as connection:
            return taking.take(connection, corpus, run_id, limit, max_bytes, among)

    def suspects(self, corpus: str) -> Sequence[Suspects]:
        """What runs had taken together when they failed, as far as it is still pending; the least tried first."""
        with self._database.transaction("read") as connection:
            return taking.suspects(connection, corpus)

    def release(self, corpus: str, run_id: str) -> int:
        """Give back what a run has taken when something else is to blame: the attempt does not count.

        Changes that an earlier run had failed over stay suspects.
        """
        with self._database.transaction("give back to") as connection:
            return taking.release(connection, corpus, run_id)

    def brought(self, corpus: str, documents: Sequence[str]) -> Mapping[str, Brought]:
        """When each of some documents was created and applied last; not named if never.

        What is dead or dropped brought nothing.
        """
        with self._database.transaction("read") as connection:
            return taking.brought(connection, corpus, documents)

    def undo(self, corpus: str, erased: Mapping[str, datetime], reason: str) -> int:
        """Set aside updates that are in a snapshot but occurred after an erasure that is only known now.

        Args:
            corpus: whose documents they are.
            erased: document → when it was erased.
            reason: why they have no effect any more.

        Returns:
            How many changes.
        """
        with self._database.transaction("write to") as connection:
            return settling.undo(connection, corpus, erased, reason)

    def revive(self, corpus: str, documents: Sequence[str], reason: str) -> int:
        """Make changes of some documents pending again that were set aside for one reason. Returns how many."""
        with self._database.transaction("write to") as connection:
            return settling.revive(connection, corpus, documents, reason)

    def applied(self, numbers: Iterable[int], snapshot: int, notes: Mapping[int, str] | None = None) -> None:
        """Pending changes are in a snapshot now. Their content goes; with an erasure, that of all older ones too.

        Args:
            numbers: the changes.
            snapshot: its number.
            notes: number → what to say about a change, for some of them.
        """
        with self._database.transaction("write to") as connection:
            settling.applied(connection, numbers, snapshot, notes or {})
        self._database.truncate_log()

    def dead(self, reasons: Mapping[int, str]) -> None:
        """Set pending changes aside: number → why."""
        with self._database.transaction("write to") as connection:
            settling.dead(connection, reasons)

    def give_up(self, corpus: str, max_attempts: int) -> int:
        """Set aside what so many runs have taken in vain. Returns how many changes.

        Not a change that the last run had taken together with others which failed as often: one of those may
        be to blame.
        """
        with self._database.transaction("write to") as connection:
            return settling.give_up(connection, corpus, max_attempts)

    def acknowledge(self, corpus: str, snapshot: int, publication: int) -> int:
        """A publication contains everything up to a snapshot. Also forgets what is long done.

        Returns:
            How many changes it made done.
        """
        with self._database.transaction("write to") as connection:
            settling.forget(connection, datetime.now(UTC) - REMEMBERED)
            return settling.acknowledge(connection, corpus, snapshot, publication)

    def forget(self, before: datetime) -> int:
        """Delete the rows of what was done, superseded or dropped before a moment. Returns how many."""
        with self._database.transaction("write to") as connection:
            return settling.forget(connection, before)

    def find(self, corpus: str, event: str) -> Sequence[Entry]:
        """The changes of one event in their order; none if it never came or is forgotten."""
        with self._database.transaction("read") as connection:
            return entries.of_event(connection, corpus, event)

    def retry(self, corpus: str, event: str) -> int:
        """Make the dead changes of an event pending again. Returns how many."""
        with self._database.transaction("write to") as connection:
            return entries.retry(connection, corpus, event)

    def drop(self, corpus: str, event: str, reason: str) -> int:
        """Set the pending and dead changes of an event aside for good; their record stays. Returns how many."""
        with self._database.transaction("write to") as connection:
            return entries.drop(connection, corpus, event, reason)

    def counts(self) -> Mapping[str, Mapping[State, int]]:
        """Changes by corpus and state; what there is none of is not named."""
        with self._database.transaction("read") as connection:
            return entries.counts(connection)

    def list(
        self, corpus: str | None = None, state: State | None = None, limit: int = 100
    ) -> Sequence[Entry]:
        """The newest changes, of one corpus or all, in one state or any."""
        with self._database.transaction("read") as connection:
            return entries.newest(connection, corpus, state, limit)


def _row(corpus: str, position: int, change: Change, now: datetime) -> dict[str, object]:
    return {
        "corpus": corpus,
        "event": change.event,
        "position": position,
        "document": change.document,
        "kind": change.kind,
        "occurred": change.occurred,
        "sender": change.sender,
        "content": change.content,
        "content_type": change.content_type,
        "received": now,
        "state": "pending",
        "changed": now,
        "attempts": 0,
    }
