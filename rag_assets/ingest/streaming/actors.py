"""The two kinds of actors on a cluster: one reads, parses and chunks, the other embeds. Ray Data calls them with batches.

places → Prepare → texts without vectors → Embed → reports.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.ingest.embedding.canary import check_canary
from rag_assets.ingest.embedding.stage import embed_missing
from rag_assets.ingest.parsing.pool import ParserPool
from rag_assets.ingest.streaming.flow import FLOW, Begin, Report, from_arrow, reports_in, to_arrow, to_row
from rag_assets.ingest.streaming.steps import Steps
from rag_assets.store.snapshots import OK

if TYPE_CHECKING:
    import pyarrow as pa

    from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.streaming.job import Job


class Prepare:
    """Turns places into texts to embed: reads and parses objects, chunks texts, looks up chunks.

    Args:
        job: what to work on.
        begin: what the places are.
        workers: parser processes.
    """

    def __init__(self, job: Job, begin: Begin, workers: int) -> None:
        self._job = job
        self._begin = begin
        self._pool = ParserPool(job.corpus.parsing.model_copy(update={"workers": workers}))

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of places → texts to embed, and a report of what was done."""
        rows = from_arrow(table)
        report = Report()
        places = rows.height
        self._steps.refresh()
        if self._begin == "objects":
            report = self._steps.parse(rows)
            rows = report.documents.filter(pl.col("status") == OK)
        if self._begin != "chunks":
            report.chunk_bytes = self._steps.chunk(rows)
        report.places = places
        texts = self._steps.texts(rows["text_key"])
        return to_arrow(pl.concat([texts, to_row(report)], how="diagonal").select(FLOW.names()))

    @cached_property
    def _steps(self) -> Steps:
        # With the first batch: what is raised there comes back as it is, what a constructor raises does not.
        return Steps(self._job.open(), self._pool)


class Embed:
    """Embeds texts; the model is loaded with the first of them and stays.

    Args:
        job: what to work on.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._checked = False

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of texts and reports → reports."""
        rows = from_arrow(table)
        texts = rows.filter(pl.col("key").is_not_null()).select("key", "text", "tokens")
        found = [to_row(report) for report in reports_in(rows)]
        if texts.height:
            store, embedder = self._context.embeddings, self._context.embedder
            store.refresh()
            # One shard: parts would be written one by one.
            whole = (embedder.at_once + 1) * texts.height
            counts = embed_missing(store, embedder, [texts], whole, before=self._check_once)
            found.append(to_row(Report(texts=counts.embedded + counts.poisoned, vector_bytes=counts.bytes)))
        return to_arrow(pl.concat([pl.DataFrame(schema=FLOW), *found]))

    @cached_property
    def _context(self) -> IngestContext:
        return self._job.open()

    def _check_once(self) -> None:
        if not self._checked:
            check_canary(self._context.objects, self._context.embedder)
            self._checked = True
