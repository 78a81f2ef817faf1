"""The steps of a stream that come before the model: read and parse, chunk, look up what has no vector.

listed objects → parse, commit → chunk, commit → texts without vectors. They run the code of the stages
on the stores of the stages, and none of them tidies these up: merging shards is for one alone. What is
done twice, because a process died over it, finds in the stores what was committed the first time.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.ingest.chunking.stage import chunk_missing
from rag_assets.ingest.parsing.batch import DocumentCounts, document_store, limits_of, parse_batch, to_replace
from rag_assets.ingest.parsing.reading import read_batch
from rag_assets.ingest.sources.open import open_sources
from rag_assets.ingest.streaming.flow import TO_EMBED, Report, listed_objects

if TYPE_CHECKING:
    from rag_assets.ingest.context import IngestContext
    from rag_assets.ingest.parsing.pool import ParserPool
    from rag_assets.ingest.sources.source import Source
    from rag_assets.store.content import ContentStore


class Steps:
    """The steps on one machine. Each may run in a thread of its own.

    Args:
        context: what to work with.
        pool: parses.
    """

    def __init__(self, context: IngestContext, pool: ParserPool) -> None:
        self._context = context
        self._pool = pool
        self._documents: dict[str, ContentStore] = {}

    def refresh(self) -> None:
        """See what others have written since."""
        for store in (*self._documents.values(), self._context.chunks):
            store.refresh()

    def parse(self, places: pl.DataFrame) -> Report:
        """Read and parse listed objects.

        Args:
            places: rows of ``flow.OBJECTS``.
        """
        corpus, limits = self._context.corpus, limits_of(self._context.corpus)
        listed = [(prefix, self._sources[prefix], item) for prefix, item in listed_objects(places)]
        batch, gone = read_batch(listed, corpus.parsing.max_bytes)
        stale = to_replace(self._context.objects, self._documents, batch, limits)
        left = [read.item.document_id for read in batch if (read.format, read.key) in stale]
        batch = [read for read in batch if (read.format, read.key) not in stale]
        counts = DocumentCounts()
        rows = parse_batch(self._context.objects, self._documents, self._pool, batch, limits, counts)
        return Report(read=counts.read, bytes_read=counts.bytes_read, gone=gone, left=left, documents=rows)

    def chunk(self, places: pl.DataFrame) -> int:
        """Chunk parsed texts that have no chunks. Returns how many bytes were written.

        Args:
            places: rows of ``flow.TEXTS``.
        """
        missing = self._context.chunks.missing(places["text_key"])
        wanted = places.filter(pl.col("text_key").is_in(missing.implode())).unique("text_key")
        texts = (
            found.select(key="text_key", text="text")
            for (format,), part in wanted.group_by(["format"])
            for found in self._store(str(format)).get(part["content_key"], ("text_key", "text"))
        )
        # Different bytes may have the same text: each text is chunked once.
        distinct = pl.concat([pl.DataFrame(schema={"key": pl.String, "text": pl.String}), *texts])
        return chunk_missing(self._context.chunks, self._context.chunker, [distinct.unique("key")]).bytes

    def texts(self, keys: pl.Series) -> pl.DataFrame:
        """Rows of ``flow.TO_EMBED``: the chunks of some parsed texts without a vector, as far as is known here."""
        columns = ("embedding_key", "context", "text", "tokens")
        found = self._context.chunks.collect(keys, columns).drop("key")
        chunks = found.filter(pl.col("embedding_key").list.len() > 0).explode(columns)
        distinct = chunks.unique("embedding_key", maintain_order=True)
        missing = self._context.embeddings.missing(distinct["embedding_key"])
        return distinct.filter(pl.col("embedding_key").is_in(missing.implode())).select(
            key="embedding_key",
            text=pl.col("context") + pl.col("text"),
            tokens=pl.col("tokens").cast(TO_EMBED["tokens"]),
        )

    def _store(self, format: str) -> ContentStore:
        return self._documents.setdefault(format, document_store(self._context.objects, format))

    @cached_property
    def _sources(self) -> dict[str, Source]:
        corpus = self._context.corpus
        opened = open_sources(corpus, self._context.objects)
        return {settings.prefix: source for settings, source in zip(corpus.sources, opened, strict=True)}
