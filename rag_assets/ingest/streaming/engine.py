"""The engines that stream: what is missing in the stores is made in one chain, ahead of the stages that need it.

Three ways in, one chain: documents that may have changed (documents stage), texts without chunks (chunks
stage), chunks without vectors (embeddings stage). From each, the chain goes on to the vectors, so that a
run's first stage does all of it in one stream and the later ones find it done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import polars as pl

from rag_assets import corpus as models
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.parsing.batch import DocumentCounts, document_store
from rag_assets.ingest.parsing.formats import format_of
from rag_assets.ingest.parsing.reading import Listed, batches_of
from rag_assets.ingest.parsing.stage import Processed, process_here
from rag_assets.ingest.streaming import cluster, threads
from rag_assets.ingest.streaming.ahead import Ahead, Before, remember
from rag_assets.ingest.streaming.flow import TEXTS, Begin, Report, listed_rows
from rag_assets.ingest.streaming.job import Job
from rag_assets.store.snapshots import OK
from rag_assets.store.snapshots import SCHEMA as SNAPSHOT_SCHEMA

BLOCK, SMALLEST_BLOCK = 512, 32  # places that one worker takes at a time: shards of it are not small
BLOCKS_PER_WORKER = 4  # so that a small corpus is shared, too

Advance = Callable[[int], None]
Work = Callable[[Begin, Sequence[pl.DataFrame]], Iterator[Report]]
"""Has the chain worked through blocks of places, wherever it runs; reports come as steps are done, in no order."""


def open_engine(context: IngestContext) -> StreamEngine | None:
    """The engine that the corpus file asks for; None where each stage does its own work."""
    corpus = context.corpus
    if corpus.engine == "ray":
        ray = corpus.ray or models.Ray()
        return StreamEngine(context, partial(cluster.work, Job.of(context), ray), workers=ray.cpu_workers.max)
    if corpus.engine == "stream":
        return StreamEngine(context, partial(threads.work, context), workers=1)
    return None


class StreamEngine:
    """Makes what a corpus lacks. Without work nothing is started or asked.

    Args:
        context: this machine.
        work: where the chain runs.
        workers: how many may work at once on blocks.
    """

    def __init__(self, context: IngestContext, work: Work, workers: int) -> None:
        self._context = context
        self._work = work
        self._workers = workers
        self.ahead = Ahead()
        """What the last call made of chunks and vectors."""

    def documents(self, wanted: Sequence[Listed], counts: DocumentCounts) -> Iterator[Processed]:
        """Read, parse, chunk and embed listed objects; as ``parsing.stage.Process``."""
        self.ahead = Ahead()
        if not wanted:
            return
        started = time.perf_counter()
        before = Before(self._context)
        formats = sorted({format for _, _, item in wanted if (format := format_of(item.uri))})
        parsed = {format: document_store(self._context.objects, format) for format in formats}
        for store in parsed.values():
            remember(store)
        size = self._block(len(wanted))
        blocks = [
            listed_rows(part)
            for part in batches_of(wanted, self._context.corpus.parsing.max_bytes, documents=size)
        ]
        columns = ("format", "content_key", "text_key", "status")
        found = [pl.DataFrame(schema=SNAPSHOT_SCHEMA).select(columns)]
        left: set[str] = set()
        written = Report()
        for report in self._told("objects", blocks, written):
            counts.read += report.read
            counts.bytes_read += report.bytes_read
            left.update(report.left)
            found.append(report.documents.select(columns))
            yield report.documents, report.gone
        read = pl.concat(found).filter(pl.col("content_key").is_not_null())
        for (format,), rows in read.group_by(["format"]):
            # Of each key that no store held, one document was parsed, and the others reused it.
            fresh = parsed[str(format)].missing(rows["content_key"]).len()
            counts.parsed += fresh
            counts.reused += rows.height - fresh
        self._settle(before, read.filter(status=OK)["text_key"].unique(), written, started)
        for format in formats:
            document_store(self._context.objects, format).maintain()
        if remaining := [entry for entry in wanted if entry[2].document_id in left]:
            yield from process_here(self._context.objects, self._context.corpus)(remaining, counts)

    def texts(self, places: pl.DataFrame, advance: Advance) -> Ahead:
        """Chunk and embed parsed texts.

        Args:
            places: rows of ``flow.TEXTS``, one for each text.
            advance: told how many texts have been dealt with.
        """
        return self._fill("texts", places.select(TEXTS.names()), advance)

    def chunks(self, keys: pl.Series, advance: Advance) -> Ahead:
        """Embed the chunks of texts that are chunked.

        Args:
            keys: text keys.
            advance: told how many chunks have been dealt with.
        """
        return self._fill("chunks", keys.to_frame("text_key"), advance)

    def _fill(self, begin: Begin, places: pl.DataFrame, advance: Advance) -> Ahead:
        self.ahead = Ahead()
        if places.is_empty():
            return self.ahead
        started = time.perf_counter()
        before = Before(self._context)
        written = Report()
        blocks = [*places.iter_slices(self._block(places.height))]
        for report in self._told(begin, blocks, written):
            advance(report.texts if begin == "chunks" else report.places)
        self._settle(before, places["text_key"], written, started)
        return self.ahead

    def _told(self, begin: Begin, blocks: Sequence[pl.DataFrame], written: Report) -> Iterator[Report]:
        for report in self._work(begin, blocks):
            written.chunk_bytes += report.chunk_bytes
            written.vector_bytes += report.vector_bytes
            written.warm_tokens += report.warm_tokens
            written.warm_seconds += report.warm_seconds
            yield report

    def _settle(self, before: Before, keys: pl.Series, written: Report, started: float) -> None:
        """Count what was made, then tidy up: nobody else writes any more."""
        seconds = time.perf_counter() - started
        after = self._context.fresh()
        self.ahead = before.count(after, keys)
        self.ahead.seconds = seconds
        self.ahead.chunk_bytes, self.ahead.vector_bytes = written.chunk_bytes, written.vector_bytes
        self.ahead.warm_tokens, self.ahead.warm_seconds = written.warm_tokens, written.warm_seconds
        after.chunks.maintain()
        after.embeddings.maintain()

    def _block(self, places: int) -> int:
        shares = BLOCKS_PER_WORKER * self._workers
        return max(SMALLEST_BLOCK, min(BLOCK, math.ceil(places / shares)))
