"""Stage: chunk the texts that the store does not hold yet.

snapshot rows → distinct text keys − keys present → parsed texts → chunks, one row per text
with parallel lists, in shards of a few megabytes.

Run alone: ``chunk_missing(chunk_store(objects, chunker, settings), chunker, texts)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from rag_assets import corpus
from rag_assets.ingest.chunking.chunker import Chunk, Chunker
from rag_assets.ingest.chunking.context import embedding_key
from rag_assets.store.ahead import ahead
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore

SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "embedding_key": pl.List(pl.String()),  # hash of the embedded text: context + text
        "context": pl.List(pl.String()),  # what the embedder sees before the text
        "text": pl.List(pl.String()),
        "heading_path": pl.List(pl.List(pl.String())),
        "start": pl.List(pl.Int64()),
        "end": pl.List(pl.Int64()),
        "tokens": pl.List(pl.Int32()),
    }
)
BATCH_CHARACTERS = 4_000_000


@dataclass(slots=True)
class ChunkCounts:
    """What one run of the stage did."""

    chunked: int = 0
    reused: int = 0
    chunks: int = 0
    tokens: int = 0
    bytes: int = 0


def chunk_store(objects: ObjectStore, chunker: Chunker, settings: corpus.Chunking) -> ContentStore:
    """Chunks under the chunker's fingerprint, keyed by the hash of the parsed text."""
    return ContentStore(objects, "chunks", chunker.fingerprint, SCHEMA, settings.model_dump(mode="json"))


def chunk_missing(
    store: ContentStore,
    chunker: Chunker,
    texts: Iterable[pl.DataFrame],
    advance: Callable[[int], None] = lambda done: None,
) -> ChunkCounts:
    """Chunk texts and commit a shard every few megabytes. ``store.maintain`` is left to the caller.

    Args:
        store: where chunks are kept.
        chunker: cuts a text.
        texts: frames with columns key and text; keys that the store holds must be left out.
        advance: told how many texts have been dealt with.
    """
    counts = ChunkCounts()
    pending: list[pl.DataFrame] = []
    size = 0
    for frame in ahead(texts):
        for part in frame.iter_slices(256):
            pending.append(part)
            size += int(part["text"].str.len_bytes().sum())
            if size >= BATCH_CHARACTERS:
                _commit(store, chunker, pl.concat(pending), counts, advance)
                pending, size = [], 0
    if pending:
        _commit(store, chunker, pl.concat(pending), counts, advance)
    return counts


def _commit(
    store: ContentStore,
    chunker: Chunker,
    texts: pl.DataFrame,
    counts: ChunkCounts,
    advance: Callable[[int], None],
) -> None:
    chunked = chunker.chunk(texts["text"].to_list())
    counts.bytes += store.commit(_rows(texts["key"], chunked))
    counts.chunked += texts.height
    counts.chunks += sum(len(chunks) for chunks in chunked)
    counts.tokens += sum(chunk.tokens for chunks in chunked for chunk in chunks)
    advance(texts.height)


def _rows(keys: pl.Series, chunked: list[list[Chunk]]) -> pl.DataFrame:
    """One row per text with parallel lists, built column by column: rows of objects cost ten times as much."""
    import pyarrow as pa

    flat = [chunk for chunks in chunked for chunk in chunks]
    paths = pa.large_list(pa.large_string())
    frame = pl.DataFrame(
        {
            "key": keys.gather([row for row, chunks in enumerate(chunked) for _ in chunks]),
            "embedding_key": [embedding_key(chunk.context, chunk.text) for chunk in flat],
            "context": [chunk.context for chunk in flat],
            "text": [chunk.text for chunk in flat],
            # Through Arrow, which takes nested lists in one go.
            "heading_path": pl.from_arrow(pa.array([chunk.heading_path for chunk in flat], paths)),
            "start": [chunk.start for chunk in flat],
            "end": [chunk.end for chunk in flat],
            "tokens": [chunk.tokens for chunk in flat],
        },
        schema_overrides={name: _element(dtype) for name, dtype in SCHEMA.items() if name != "key"},
    )
    # A text of nothing but white space has no chunks; its row says so.
    blank = keys.filter(pl.Series([not chunks for chunks in chunked], dtype=pl.Boolean)).to_frame()
    return pl.concat(
        [
            frame.group_by("key", maintain_order=True).agg(pl.all()),
            blank.with_columns(
                pl.lit([], dtype).alias(name) for name, dtype in SCHEMA.items() if name != "key"
            ),
        ]
    )


def _element(dtype: pl.DataType) -> pl.DataType:
    assert isinstance(dtype, pl.List)
    return dtype.inner  # type: ignore[return-value]
