"""Readers that poll while processes publish, roll back and die: what they see must be one whole publication."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rag_assets import open_published
from rag_assets.errors import RagAssetsError
from rag_assets.index.table import connect
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from rag_assets.publication.reader import PublishedIndex

COLUMNS = ["document_id", "title", "heading_path", "text", "position", "metadata"]
PAUSE = 0.05
"""Seconds between two looks of a reader: the processes need the cores, too."""
TAG_ATTEMPTS = 10
FOREIGN = (RuntimeError, ValueError, OSError)
"""What a plain LanceDB client raises."""

Seen = tuple[Any, ...]


def seen_in(table: pa.Table) -> int:
    """A digest of what a reader sees, whatever the order of the rows."""
    import json

    rows = (
        (
            row["document_id"],
            row["title"],
            json.loads(row["metadata"]).get("tenant"),
            tuple(row["heading_path"]),
            row["text"],
            row["position"],
        )
        for row in table.to_pylist()
    )
    return digest_of(rows)


def digest_of(rows: Iterable[Seen]) -> int:
    """A digest of rows as readers see them; comparable within this process."""
    return hash(tuple(sorted(rows)))


class PollingReader(threading.Thread):
    """Looks again and again, and keeps what it saw and which errors it met until they are taken."""

    def __init__(self, look: Callable[[], pa.Table], foreign: tuple[type[Exception], ...]) -> None:
        super().__init__(daemon=True)
        self._look = look
        self._foreign = foreign
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._seen: set[int] = set()
        self._errors: list[str] = []
        self.looks = 0
        self.bug: BaseException | None = None

    def run(self) -> None:
        """Look until the end is asked for."""
        try:
            while not self._ended.wait(PAUSE):
                try:
                    found = seen_in(self._look())
                except self._foreign as error:
                    with self._lock:
                        self._errors.append(f"{type(error).__name__}: {error}")
                    time.sleep(PAUSE)
                    continue
                with self._lock:
                    self._seen.add(found)
                    self.looks += 1
        except BaseException as error:  # shown by the next ``taken``
            self.bug = error

    def taken(self) -> tuple[set[int], list[str]]:
        """What was seen, and the errors, since the last call."""
        if self.bug is not None:
            raise self.bug
        with self._lock:
            found = self._seen, self._errors
            self._seen, self._errors = set(), []
        return found

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self.join(60)


def service(corpus: str, store: str) -> PollingReader:
    """A service that reads through ``open_published`` and refreshes before each look."""
    opened: list[PublishedIndex] = []

    def look() -> pa.Table:
        if not opened:
            opened.append(open_published(corpus, store))
        opened[0].refresh()
        return opened[0].table().to_lance().to_table(columns=COLUMNS)

    return PollingReader(look, (RagAssetsError, *FOREIGN))


def plain_client(corpus: str, store: str) -> PollingReader:
    """A LanceDB client that follows the tag ``published``, as docs/reading.md tells it to."""
    objects = ObjectStore.open(store)

    def look() -> pa.Table:
        table = connect(objects).open_table(corpus)
        for attempt in range(TAG_ATTEMPTS):
            try:
                table.checkout("published")
                break
            except FOREIGN as error:  # caught in motion
                if "refs.rs" not in str(error) or attempt == TAG_ATTEMPTS - 1:
                    raise
        return table.to_arrow().select(COLUMNS)

    return PollingReader(look, (RagAssetsError, *FOREIGN))
