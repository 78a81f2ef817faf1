"""Stage: embed the texts that the store does not hold yet.

(key, text, tokens) frames → missing keys → shards of ``shard_chunks`` vectors. A text that
the model refuses is found by bisection and kept as a row with a reason instead of a vector;
its neighbours go on.

Run alone: ``embed_missing(embedding_store(objects, embedder), embedder, frames, 2048)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from rag_assets.embedding.embedder import Embedder
from rag_assets.errors import EmbeddingFailed, ModelError
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore

SCHEMA = pl.Schema(
    {"key": pl.String(), "vector": pl.List(pl.Float32()), "tokens": pl.Int64(), "reason": pl.String()}
)
PROBE = "A short sentence that every model can embed."


@dataclass(slots=True)
class EmbeddingCounts:
    """What one run of the stage did."""

    embedded: int = 0
    reused: int = 0
    poisoned: int = 0
    tokens: int = 0
    bytes: int = 0


def embedding_store(objects: ObjectStore, embedder: Embedder) -> ContentStore:
    """Vectors under the embedder's fingerprint, keyed by the hash of the embedded text."""
    return ContentStore(objects, "embeddings", embedder.fingerprint, SCHEMA, embedder.about)


def embed_missing(
    store: ContentStore,
    embedder: Embedder,
    frames: Iterable[pl.DataFrame],
    shard_chunks: int,
    advance: Callable[[int], None] = lambda done: None,
) -> EmbeddingCounts:
    """Embed what is missing and commit a shard every ``shard_chunks`` texts.

    ``store.maintain`` is left to the caller: of many who write into one store, one tidies up.

    Args:
        store: where vectors are kept.
        embedder: the model.
        frames: texts with columns key, text, tokens; keys may repeat.
        shard_chunks: texts per shard: what a crash can cost at most.
        advance: told how many texts have been dealt with, reused ones included.
    """
    counts = EmbeddingCounts()
    pending = pl.DataFrame(schema={"key": pl.String, "text": pl.String, "tokens": pl.Int64})
    for frame in frames:
        distinct = frame.unique("key", maintain_order=True)
        missing = store.missing(distinct["key"]).to_frame().join(pending, on="key", how="anti")
        fresh = distinct.join(missing, on="key", how="semi", maintain_order="left")
        counts.reused += distinct.height - fresh.height
        advance(frame.height - fresh.height)
        pending = pl.concat([pending, fresh.select(pending.columns)])
        while pending.height >= shard_chunks:
            _commit(store, embedder, pending.head(shard_chunks), counts)
            advance(shard_chunks)
            pending = pending.slice(shard_chunks)
    if pending.height:
        _commit(store, embedder, pending, counts)
        advance(pending.height)
    return counts


def _commit(store: ContentStore, embedder: Embedder, texts: pl.DataFrame, counts: EmbeddingCounts) -> None:
    rows = _embed(embedder, texts)
    poisoned = rows["reason"].count()
    counts.bytes += store.commit(rows)
    counts.embedded += rows.height - poisoned
    counts.poisoned += poisoned
    counts.tokens += int(rows["tokens"].sum())


def _embed(embedder: Embedder, texts: pl.DataFrame) -> pl.DataFrame:
    """Rows of the store for these texts; a failing batch is halved until the poison text is alone."""
    try:
        vectors = embedder.embed(texts["text"].to_list(), texts["tokens"].to_list())
    except EmbeddingFailed as error:
        if texts.height > 1:
            half = texts.height // 2
            return pl.concat([_embed(embedder, texts.head(half)), _embed(embedder, texts.slice(half))])
        _require_working(embedder)
        return texts.select(
            "key",
            pl.lit(None, SCHEMA["vector"]).alias("vector"),
            "tokens",
            pl.lit(str(error)).alias("reason"),
        )
    return texts.select(
        "key",
        pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])).cast(SCHEMA["vector"]),
        "tokens",
        pl.lit(None, pl.String).alias("reason"),
    )


def _require_working(embedder: Embedder) -> None:
    """Tell a poison text from a broken model, which must not quarantine everything."""
    try:
        embedder.embed([PROBE], [10])
    except EmbeddingFailed as error:
        raise ModelError(f"the embedder refuses even a plain sentence: {error}") from error
