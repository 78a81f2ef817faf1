"""Documents, chunks and vectors that the stores lack: made here, or by a stream and then looked for here.

documents to process → keys − keys present → (stream) → what is still missing → stage → tidy stores.
What a stream did not come to is made here, so that a stage that ends well is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import polars as pl

from rag_assets.ingest.chunking.stage import ChunkCounts, chunk_missing
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.canary import check_canary
from rag_assets.ingest.embedding.stage import EmbeddingCounts, embed_missing
from rag_assets.ingest.parsing.batch import DocumentCounts
from rag_assets.ingest.parsing.stage import update_documents
from rag_assets.ingest.sources.open import open_sources
from rag_assets.ingest.streaming import Ahead, StreamEngine
from rag_assets.ingest.work import chunk_frames, restore, texts_of, without_vectors
from rag_assets.progress import Progress
from rag_assets.store.snapshots import Snapshot


def make_snapshot(
    context: IngestContext, stream: StreamEngine | None, progress: Progress, only: Collection[str] | None
) -> tuple[Snapshot, DocumentCounts]:
    """List the sources, or look at some documents only; read what may have changed and parse what is new.

    Args:
        context: the corpus.
        stream: parses, and makes ahead what later stages look for; None has it parsed here.
        progress: told how far it has come.
        only: ids of the documents that may have changed; None lists everything.
    """
    corpus, objects = context.corpus, context.objects
    prefixes = [source.prefix for source in corpus.sources]
    found = update_documents(
        objects,
        corpus,
        list(zip(prefixes, open_sources(corpus, objects), strict=True)),
        only=only,
        advance=lambda done, total: progress("documents", done, total),
        process=None if stream is None else stream.documents,
    )
    if stream is not None:
        _look_again(context, stream.ahead)
    return found


def make_chunks(
    context: IngestContext, documents: pl.DataFrame, stream: StreamEngine | None, progress: Progress
) -> tuple[ChunkCounts, Ahead]:
    """Chunk the documents' texts that no store holds.

    Args:
        context: the corpus.
        documents: rows of ``snapshots.READABLE``.
        stream: makes ahead what is missing; None has it made here.
        progress: told how far it has come.

    Returns:
        What was chunked, and what a stream made of it and ahead of the next stage.
    """
    store = context.chunks
    keys = documents["text_key"].unique(maintain_order=True)
    missing = store.missing(keys)
    reused = keys.len() - missing.len()
    wanted = documents.filter(pl.col("text_key").is_in(missing.implode()))
    restore(context.objects, context.corpus, wanted)
    advance = _told(progress, "chunks", missing.len())
    made = Ahead()
    if stream is not None:
        made = stream.texts(wanted.unique("text_key"), advance)
        _look_again(context, made)
        missing = store.missing(missing)
    texts = texts_of(context.objects, documents, missing)
    counts = chunk_missing(store, context.chunker, texts, advance)
    store.maintain()
    counts.reused = reused
    counts.chunked += made.chunked
    counts.chunks += made.chunks
    counts.tokens += made.chunk_tokens
    counts.bytes += made.chunk_bytes
    return counts, made


def make_vectors(
    context: IngestContext, documents: pl.DataFrame, stream: StreamEngine | None, progress: Progress
) -> EmbeddingCounts:
    """Embed the documents' chunks that no store holds. Arguments as of ``make_chunks``."""
    chunks, store = context.chunks, context.embeddings
    total = sum(frame.height for frame in chunk_frames(chunks, documents, ("embedding_key",)))
    advance = _told(progress, "embeddings", total)
    made = Ahead()
    if stream is not None:
        made = stream.chunks(without_vectors(chunks, store, documents), advance)
        _look_again(context, made)
    frames = (
        frame.select(
            key="embedding_key",
            text=pl.col("context") + pl.col("text"),
            tokens=pl.col("tokens").cast(pl.Int64),
        )
        for frame in chunk_frames(chunks, documents, ("embedding_key", "context", "text", "tokens"))
    )
    counts = embed_missing(
        store,
        context.embedder,
        frames,
        context.corpus.embedder.shard_chunks,
        advance,
        lambda: check_canary(context.objects, context.embedder),
    )
    store.maintain()
    counts.embedded += made.embedded
    counts.poisoned += made.poisoned
    counts.tokens += made.tokens
    counts.bytes += made.vector_bytes
    counts.reused -= made.embedded + made.poisoned  # found just now, since the stream had made them
    return counts


def _look_again(context: IngestContext, made: Ahead) -> None:
    """Have the stores see what a stream wrote."""
    if made.seconds:
        context.refresh()


def _told(progress: Progress, stage: str, total: int) -> Callable[[int], None]:
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(stage, min(done, total), total)

    return advance
