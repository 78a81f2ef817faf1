"""Parse many documents in parallel, in processes that can be killed.

items → batches → worker processes (timeout, memory, size) → outcomes. Cheap documents share a
batch, because a round trip costs more than parsing them. If a batch fails, its documents are
tried again one by one, so that only the guilty one is rejected.

Workers are plain subprocesses and not ``multiprocessing`` ones: those run the parent's main
module again (for ``dagster`` that is a second of imports in every worker). These answer their
first document after 70 ms, so that even a single file is parsed in one: no untrusted
byte is ever parsed in this process.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from rag_assets.corpus import Parsing
from rag_assets.ingest.parsing.document import ParsedDocument, Rejection
from rag_assets.ingest.parsing.process import ParserProcess, WorkerFailed
from rag_assets.ingest.parsing.wire import Limits

Item = tuple[str, str, bytes]
Result = tuple[str, ParsedDocument | Rejection]

BATCH_DOCUMENTS = 64
BATCH_BYTES = 1_000_000
SOLO_FORMATS = frozenset({"docx", "pdf"})  # dear ones: never in a batch
PARSE = "rag_assets.ingest.parsing.parse:parse"
TEXT_FACTOR = 4
"""How many times max_bytes the text of a document may have: honest text grows by its encoding or is compressed."""


class ParserPool:
    """Worker processes with limits, started when first needed; use it as a context manager.

    Args:
        config: limits and the number of workers.
        function: "module:function" that the workers call for each document; another one than
            ours is for parsers that misbehave on purpose.
    """

    def __init__(self, config: Parsing, function: str = PARSE) -> None:
        from loky import cpu_count  # also knows what a container may use

        self._config = config
        self._limits = Limits(config.timeout_seconds, config.memory_mb, TEXT_FACTOR * config.max_bytes)
        self._function = function
        self._workers = config.workers or cpu_count()
        self._idle: queue.SimpleQueue[ParserProcess] = queue.SimpleQueue()
        self._started: list[ParserProcess] = []
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            process.stop()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            process.close()

    def parse(self, items: Iterable[Item]) -> Iterator[Result]:
        """Outcome of each item, as they get ready; the order may differ from the input's.

        Args:
            items: (key, format, file). Read lazily: at most two batches per worker are in memory.

        Yields:
            (key, document or rejection), exactly once for each item.

        Raises:
            ConfigurationError: workers cannot start at all.
        """
        pending: set[Future[list[Result]]] = set()
        try:
            for batch in _batches(items):
                pending.add(self._executor().submit(self._run, batch))
                if len(pending) >= 2 * self._workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield from future.result()
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        finally:
            for future in pending:
                future.cancel()

    def _executor(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._workers, "parser")
            for _ in range(self._workers):
                process = ParserProcess(self._function)
                self._started.append(process)
                self._idle.put(process)
        return self._threads

    def _run(self, batch: list[Item]) -> list[Result]:
        largest = self._config.max_bytes
        rejected: list[Result] = [
            (key, Rejection("oversized", f"The file has {len(data):,} bytes; {largest:,} are allowed."))
            for key, _, data in batch
            if len(data) > largest
        ]
        accepted = [item for item in batch if len(item[2]) <= largest]
        return rejected + (self._with_worker(accepted) if accepted else [])

    def _with_worker(self, batch: list[Item]) -> list[Result]:
        process = self._idle.get()
        try:
            return self._attempt(process, batch)
        finally:
            self._idle.put(process)

    def _attempt(self, process: ParserProcess, batch: list[Item]) -> list[Result]:
        try:
            outcomes = process.run([(format, data) for _, format, data in batch], self._limits)
        except WorkerFailed as failure:
            if len(batch) == 1:
                return [(batch[0][0], failure.rejection)]
            return [result for item in batch for result in self._attempt(process, [item])]
        return [(key, found) for (key, _, _), found in zip(batch, outcomes, strict=True)]


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cheap documents together up to the batch limits, dear ones alone."""
    batch: list[Item] = []
    size = 0
    for item in items:
        _, format, data = item
        if format in SOLO_FORMATS or len(data) >= BATCH_BYTES:
            yield [item]
            continue
        if batch and (len(batch) == BATCH_DOCUMENTS or size + len(data) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(data)
    if batch:
        yield batch
