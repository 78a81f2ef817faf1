"""Parse many documents in parallel, in processes that can be killed.

items → batches → worker processes (timeout, memory, size) → outcomes. Cheap documents share a
batch, because a round trip costs more than parsing them. If a batch fails, its documents are
tried again one by one, so that only the guilty one is rejected.

Workers are plain subprocesses and not ``multiprocessing`` ones: those run the parent's main
module again (for ``dagster`` that is a second of imports in every worker), and these are
ready in a tenth of one. Up to a few tiny Markdown or text files are parsed right here: their
parsers are linear, and starting a worker would cost a hundred times the work.
"""

from __future__ import annotations

import itertools
import os
import queue
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from rag_assets.corpus import Parsing
from rag_assets.parsing.document import ParsedDocument, Rejection
from rag_assets.parsing.parse import parse
from rag_assets.parsing.process import ParserProcess, WorkerFailed
from rag_assets.parsing.worker import Outcome, outcome

Item = tuple[str, str, bytes]
Result = tuple[str, ParsedDocument | Rejection]

BATCH_DOCUMENTS = 64
BATCH_BYTES = 1_000_000
SOLO_FORMATS = frozenset({"docx", "pdf"})  # dear ones: never in a batch
HERE_FORMATS = frozenset({"markdown", "text"})
HERE_DOCUMENTS = 8
HERE_BYTES = 256 * 1024  # per document
PARSE = "rag_assets.parsing.parse:parse"


class ParserPool:
    """Worker processes with limits, started when first needed; use it as a context manager.

    Args:
        config: limits and the number of workers.
        function: "module:function" that the workers call for each document; another one than
            ours is for parsers that misbehave on purpose. Setting it turns off parsing in this process.
    """

    def __init__(self, config: Parsing, function: str = PARSE) -> None:
        self._config = config
        self._function = function
        self._workers = config.workers or os.cpu_count() or 1
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
        source = iter(items)
        first = list(itertools.islice(source, HERE_DOCUMENTS + 1))
        if self._function == PARSE and len(first) <= HERE_DOCUMENTS and all(map(self._may_stay_here, first)):
            for key, format, data in first:
                yield key, self._oversized(data) or outcome(parse, data, format)
            return
        yield from self._parallel(itertools.chain(first, source))

    def _may_stay_here(self, item: Item) -> bool:
        _, format, data = item
        return len(data) > self._config.max_bytes or (format in HERE_FORMATS and len(data) <= HERE_BYTES)

    def _oversized(self, data: bytes) -> Rejection | None:
        if len(data) <= self._config.max_bytes:
            return None
        return Rejection(
            "oversized", f"The file has {len(data):,} bytes; {self._config.max_bytes:,} are allowed."
        )

    def _parallel(self, items: Iterator[Item]) -> Iterator[Result]:
        pending: set[Future[list[Result]]] = set()
        try:
            for batch in _batches(items):
                accepted = []
                for key, format, data in batch:
                    rejection = self._oversized(data)
                    if rejection is None:
                        accepted.append((key, format, data))
                    else:
                        yield key, rejection
                if accepted:
                    pending.add(self._executor().submit(self._run, accepted))
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
        process = self._idle.get()
        try:
            return self._attempt(process, batch)
        finally:
            self._idle.put(process)

    def _attempt(self, process: ParserProcess, batch: list[Item]) -> list[Result]:
        limits = self._config.timeout_seconds, self._config.memory_mb
        try:
            outcomes: list[Outcome] = process.run([(format, data) for _, format, data in batch], *limits)
        except WorkerFailed as failure:
            if len(batch) == 1:
                return [(batch[0][0], failure.rejection)]
            return [result for item in batch for result in self._attempt(process, [item])]
        return [(key, found) for (key, _, _), found in zip(batch, outcomes, strict=True)]


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
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
