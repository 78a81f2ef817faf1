"""A stream on one machine: parsing, chunking, looking up and embedding at the same time, each in a thread.

blocks → parse → chunk → texts → embed → reports. Between two steps waits one block at most, so that
what is ahead of the model is bounded by blocks and not by the corpus. The steps compute outside of
Python's lock: in parser processes, in tokenizers, in the model.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from queue import SimpleQueue
from threading import Event

import polars as pl

from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.canary import check_canary
from rag_assets.ingest.embedding.stage import EmbeddingCounts, embed_missing
from rag_assets.ingest.parsing.pool import ParserPool
from rag_assets.ingest.streaming.flow import Begin, Report
from rag_assets.ingest.streaming.steps import Steps
from rag_assets.store.ahead import ahead
from rag_assets.store.snapshots import OK

Worked = tuple[pl.DataFrame, Report]
"""Rows for the next step, and what was done with them so far."""


def work(context: IngestContext, begin: Begin, blocks: Sequence[pl.DataFrame]) -> Iterator[Report]:
    """Do the work of these blocks; reports come as steps are done. Closing it ends the
    work after what each step has in hand.

    Args:
        context: what to work with.
        begin: what the blocks hold.
        blocks: what goes from step to step.
    """
    context = context.fresh()  # stores that see what was tidied up since
    told: SimpleQueue[Report | None] = SimpleQueue()
    stop = Event()

    def until_stopped() -> Iterator[pl.DataFrame]:
        for block in blocks:
            if stop.is_set():
                return
            yield block

    def texts() -> Generator[pl.DataFrame]:
        with _chain(context, begin, until_stopped()) as chain:
            for rows, report in chain:
                told.put(report)
                yield rows

    def embed() -> EmbeddingCounts:
        with closing(texts()) as frames:
            return embed_missing(
                context.embeddings,
                context.embedder,
                frames,
                context.corpus.embedder.shard_chunks,
                lambda more: told.put(Report(texts=more)),
                lambda: check_canary(context.objects, context.embedder),
                stop,
            )

    with ThreadPoolExecutor(1, "stream") as pool:
        embedding = pool.submit(embed)
        embedding.add_done_callback(lambda _: told.put(None))
        try:
            yield from iter(told.get, None)
        finally:
            stop.set()
        counts = embedding.result()
        yield Report(
            vector_bytes=counts.bytes, warm_tokens=counts.warm_tokens, warm_seconds=counts.warm_seconds
        )


@contextmanager
def _chain(
    context: IngestContext, begin: Begin, blocks: Iterable[pl.DataFrame]
) -> Iterator[Iterator[Worked]]:
    """Texts to embed, block by block. At the end nothing is left running, the last step first."""
    with ParserPool(context.corpus.parsing) as pool, ExitStack() as threads:
        steps = Steps(context, pool)
        worked: Iterator[Worked] = ((block, Report(places=block.height)) for block in blocks)
        if begin == "objects":
            worked = threads.enter_context(closing(ahead(_parsed(steps, worked))))
        if begin != "chunks":
            worked = threads.enter_context(closing(ahead(_chunked(steps, worked))))
        yield ((steps.texts(rows["text_key"]), report) for rows, report in worked)


def _parsed(steps: Steps, worked: Iterator[Worked]) -> Iterator[Worked]:
    for rows, report in worked:
        parsed = steps.parse(rows)
        parsed.places = report.places
        yield parsed.documents.filter(pl.col("status") == OK), parsed


def _chunked(steps: Steps, worked: Iterator[Worked]) -> Iterator[Worked]:
    for rows, report in worked:
        report.chunk_bytes = steps.chunk(rows)
        yield rows, report
