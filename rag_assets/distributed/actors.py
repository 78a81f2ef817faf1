"""The two kinds of actors: one reads, parses and chunks, the other embeds. Ray Data calls them with batches.

places → read, parse, commit → chunk, commit → texts without vectors → embed, commit → reports. Both run
the code of the stages on the stores of the stages, and neither tidies these up: merging shards is for
one process alone. A batch that is done twice, because an actor died over it, finds in the stores what
was committed the first time.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.chunking.stage import chunk_missing
from rag_assets.distributed.flow import (
    FLOW,
    Begin,
    Report,
    from_arrow,
    listed_objects,
    reports_in,
    to_arrow,
    to_row,
)
from rag_assets.distributed.place import Job, Place
from rag_assets.embedding.canary import check_canary
from rag_assets.embedding.stage import embed_missing
from rag_assets.parsing.batch import DocumentCounts, document_store, limits_of, parse_batch, to_replace
from rag_assets.parsing.pool import ParserPool
from rag_assets.parsing.reading import read_batch
from rag_assets.sources.open import open_sources
from rag_assets.store.snapshots import OK

if TYPE_CHECKING:
    import pyarrow as pa

    from rag_assets.sources.source import Source
    from rag_assets.store.content import ContentStore


class Prepare:
    """Turns places into texts to embed: reads and parses objects, chunks texts, looks up chunks.

    Args:
        job: what to work on.
        begin: what the places are.
        workers: parser processes.
    """

    def __init__(self, job: Job, begin: Begin, workers: int) -> None:
        self._place = Place(job)
        self._begin = begin
        self._pool = ParserPool(job.corpus.parsing.model_copy(update={"workers": workers}))
        self._documents: dict[str, ContentStore] = {}

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of places → texts to embed, and a report of what was done."""
        rows = from_arrow(table)
        report = Report(places=rows.height)
        if self._begin == "objects":
            self._parse(rows, report)
            rows = report.documents.filter(pl.col("status") == OK)
        if self._begin != "chunks":
            self._chunk(rows, report)
        return to_arrow(pl.concat([self._texts(rows["text_key"]), to_row(report)]))

    def _parse(self, rows: pl.DataFrame, report: Report) -> None:
        corpus, limits = self._place.corpus, limits_of(self._place.corpus)
        listed = [(prefix, self._sources[prefix], item) for prefix, item in listed_objects(rows)]
        for store in self._documents.values():
            store.refresh()
        batch, report.gone = read_batch(listed, corpus.parsing.max_bytes)
        stale = to_replace(self._place.objects, self._documents, batch, limits)
        report.left = [read.item.document_id for read in batch if (read.format, read.key) in stale]
        batch = [read for read in batch if (read.format, read.key) not in stale]
        counts = DocumentCounts()
        report.documents = parse_batch(
            self._place.objects, self._documents, self._pool, batch, limits, counts
        )
        report.read, report.bytes_read = counts.read, counts.bytes_read

    def _chunk(self, rows: pl.DataFrame, report: Report) -> None:
        self._place.chunks.refresh()
        missing = self._place.chunks.missing(rows["text_key"])
        wanted = rows.filter(pl.col("text_key").is_in(missing.implode())).unique("text_key")
        texts = (
            found.select(key="text_key", text="text")
            for (format,), part in wanted.group_by(["format"])
            for found in self._store(str(format)).get(part["content_key"], ("text_key", "text"))
        )
        # Different bytes may have the same text: each text is chunked once.
        distinct = pl.concat([pl.DataFrame(schema={"key": pl.String, "text": pl.String}), *texts])
        done = chunk_missing(self._place.chunks, self._place.chunker, [distinct.unique("key")])
        report.chunk_bytes = done.bytes

    def _texts(self, keys: pl.Series) -> pl.DataFrame:
        """Texts of these parsed texts' chunks that have no vector, as far as this actor knows."""
        columns = ("embedding_key", "context", "text", "tokens")
        found = self._place.chunks.collect(keys, columns).drop("key")
        chunks = found.filter(pl.col("embedding_key").list.len() > 0).explode(columns)
        distinct = chunks.unique("embedding_key", maintain_order=True)
        missing = self._place.embeddings.missing(distinct["embedding_key"])
        return distinct.filter(pl.col("embedding_key").is_in(missing.implode())).select(
            key="embedding_key",
            text=pl.col("context") + pl.col("text"),
            tokens=pl.col("tokens").cast(pl.Int64),
            facts=pl.lit(None, FLOW["facts"]),
            documents=pl.lit(None, FLOW["documents"]),
        )

    def _store(self, format: str) -> ContentStore:
        return self._documents.setdefault(format, document_store(self._place.objects, format))

    @cached_property
    def _sources(self) -> dict[str, Source]:
        corpus = self._place.corpus
        opened = open_sources(corpus, self._place.objects)
        return {settings.prefix: source for settings, source in zip(corpus.sources, opened, strict=True)}


class Embed:
    """Embeds texts; the model is loaded with the first of them and stays.

    Args:
        job: what to work on.
    """

    def __init__(self, job: Job) -> None:
        self._place = Place(job)
        self._checked = False

    def _check_once(self) -> None:
        if not self._checked:
            check_canary(self._place.objects, self._place.embedder)
            self._checked = True

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of texts and reports → reports."""
        rows = from_arrow(table)
        texts = rows.filter(pl.col("key").is_not_null()).select("key", "text", "tokens")
        found = [to_row(report) for report in reports_in(rows)]
        if texts.height:
            store = self._place.embeddings
            store.refresh()
            # One shard: halves would be written one by one.
            counts = embed_missing(
                store, self._place.embedder, [texts], 2 * texts.height, before=self._check_once
            )
            found.append(to_row(Report(texts=counts.embedded + counts.poisoned, vector_bytes=counts.bytes)))
        return to_arrow(pl.concat([pl.DataFrame(schema=FLOW), *found]))
