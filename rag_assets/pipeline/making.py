"""Chunks and vectors that the stores lack: made here, or by a stream and then looked for here.

documents to process → keys − keys present → (stream) → what is still missing → stage → tidy stores.
What a stream did not come to is made here, so that a stage that ends well is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets.ingest.chunking.stage import ChunkCounts, chunk_missing
from rag_assets.ingest.embedding.canary import check_canary
from rag_assets.ingest.embedding.stage import EmbeddingCounts, embed_missing
from rag_assets.ingest.streaming import Ahead
from rag_assets.pipeline.work import chunk_frames, restore, texts_of, without_vectors

if TYPE_CHECKING:
    from rag_assets.pipeline.pipeline import Pipeline
    from rag_assets.pipeline.progress import Progress

VECTORS = ("embedded", "poisoned", "tokens", "vector_bytes", "seconds")


def make_chunks(
    pipeline: Pipeline, documents: pl.DataFrame, progress: Progress
) -> tuple[ChunkCounts, dict[str, Any]]:
    """Chunk the documents' texts that no store holds. Returns the counts, and facts of what was made ahead."""
    store = pipeline.chunk_store
    keys = documents["text_key"].unique(maintain_order=True)
    missing = store.missing(keys)
    reused = keys.len() - missing.len()
    restore(pipeline.objects, pipeline.corpus, documents.filter(pl.col("text_key").is_in(missing.implode())))
    advance = _told(progress, "chunks", missing.len())
    made, facts = Ahead(), {}
    if pipeline.stream is not None:
        places = documents.filter(pl.col("text_key").is_in(missing.implode())).unique("text_key")
        made = pipeline.stream.texts(places, advance)
        facts = made_ahead(pipeline, made, VECTORS)
        missing = store.missing(missing)
    counts = chunk_missing(store, pipeline.chunker, texts_of(pipeline, documents, missing), advance)
    store.maintain()
    counts.reused = reused
    counts.chunked += made.chunked
    counts.chunks += made.chunks
    counts.tokens += made.chunk_tokens
    counts.bytes += made.chunk_bytes
    return counts, facts


def make_vectors(pipeline: Pipeline, documents: pl.DataFrame, progress: Progress) -> EmbeddingCounts:
    """Embed the documents' chunks that no store holds."""
    store = pipeline.embedding_store
    total = sum(frame.height for frame in chunk_frames(pipeline, documents, ("embedding_key",)))
    advance = _told(progress, "embeddings", total)
    made = Ahead()
    if pipeline.stream is not None:
        made = pipeline.stream.chunks(without_vectors(pipeline, documents), advance)
        look_again(pipeline, made)
    frames = (
        frame.select(
            key="embedding_key",
            text=pl.col("context") + pl.col("text"),
            tokens=pl.col("tokens").cast(pl.Int64),
        )
        for frame in chunk_frames(pipeline, documents, ("embedding_key", "context", "text", "tokens"))
    )
    counts = embed_missing(
        store,
        pipeline.embedder,
        frames,
        pipeline.corpus.embedder.shard_chunks,
        advance,
        lambda: check_canary(pipeline.objects, pipeline.embedder),
    )
    store.maintain()
    counts.embedded += made.embedded
    counts.poisoned += made.poisoned
    counts.tokens += made.tokens
    counts.bytes += made.vector_bytes
    counts.reused -= made.embedded + made.poisoned  # found just now, since the stream had made them
    return counts


def made_ahead(pipeline: Pipeline, made: Ahead, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Facts of what was made ahead of the later stages, for the record of this one.

    Args:
        pipeline: the stages, whose stores are looked at anew.
        made: by the stream.
        names: facts that are not this stage's own work (default: all).
    """
    look_again(pipeline, made)
    if made.warm_tokens:
        pipeline.runs.measured(pipeline.embedder.fingerprint, made.warm_tokens, made.warm_seconds)
    elif made.tokens:  # a cluster started, and parsed and chunked in the same time
        pipeline.runs.measured(pipeline.embedder.fingerprint, made.tokens, made.seconds, cold=True)
    found = asdict(made)
    return {"ahead": {name: found[name] for name in names or found}}


def look_again(pipeline: Pipeline, made: Ahead) -> None:
    """Have the stores see what a stream wrote."""
    if made.seconds:
        pipeline.chunk_store.refresh()
        pipeline.embedding_store.refresh()


def _told(progress: Progress, stage: str, total: int) -> Callable[[int], None]:
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(stage, min(done, total), total)

    return advance
