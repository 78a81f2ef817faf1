"""Stage: chunk the texts that the store does not hold yet.

snapshot rows → distinct text keys − keys present → parsed texts → chunks, one row per text
with parallel lists, in shards of a few megabytes.

Run alone: ``chunk_missing(chunk_store(objects, chunker, settings), chunker, settings, texts)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from rag_assets import corpus
from rag_assets.chunking.chunker import Chunk, Chunker, embedded_text
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest
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
    settings: corpus.Chunking,
    texts: Iterable[pl.DataFrame],
    advance: Callable[[int], None] = lambda done: None,
) -> ChunkCounts:
    """Chunk texts and commit a shard every few megabytes.

    Args:
        store: where chunks are kept.
        chunker: cuts a text.
        settings: the corpus file's chunking settings.
        texts: frames with columns key and text; keys that the store holds must be left out.
        advance: told how many texts have been dealt with.
    """
    counts = ChunkCounts()
    pending: list[pl.DataFrame] = []
    size = 0
    for frame in texts:
        for part in frame.iter_slices(256):
            pending.append(part)
            size += int(part["text"].str.len_bytes().sum())
            if size >= BATCH_CHARACTERS:
                _commit(store, chunker, settings, pl.concat(pending), counts, advance)
                pending, size = [], 0
    if pending:
        _commit(store, chunker, settings, pl.concat(pending), counts, advance)
    store.maintain()
    return counts


def _commit(
    store: ContentStore,
    chunker: Chunker,
    settings: corpus.Chunking,
    texts: pl.DataFrame,
    counts: ChunkCounts,
    advance: Callable[[int], None],
) -> None:
    chunked = chunker.chunk(texts["text"].to_list())
    rows = [
        _row(key, chunks, settings.include_headings)
        for key, chunks in zip(texts["key"], chunked, strict=True)
    ]
    counts.bytes += store.commit(pl.DataFrame(rows, schema=SCHEMA))
    counts.chunked += texts.height
    counts.chunks += sum(len(chunks) for chunks in chunked)
    counts.tokens += sum(chunk.tokens for chunks in chunked for chunk in chunks)
    advance(texts.height)


def _row(key: str, chunks: list[Chunk], include_headings: bool) -> dict[str, object]:
    embedded = [embedded_text(chunk, include_headings) for chunk in chunks]
    return {
        "key": key,
        "embedding_key": [digest(text) for text in embedded],
        "context": [
            text[: len(text) - len(chunk.text)] for text, chunk in zip(embedded, chunks, strict=True)
        ],
        "text": [chunk.text for chunk in chunks],
        "heading_path": [list(chunk.heading_path) for chunk in chunks],
        "start": [chunk.start for chunk in chunks],
        "end": [chunk.end for chunk in chunks],
        "tokens": [chunk.tokens for chunk in chunks],
    }
