"""What a run has to process: the documents that differ from what is published, their texts and chunks, in slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from rag_assets import corpus as models
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.parsing.batch import document_store
from rag_assets.ingest.parsing.stage import check_quarantine, restore_texts
from rag_assets.ingest.sources.open import open_sources
from rag_assets.store.content import ContentStore
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import Snapshot, SnapshotStore

SLICE = 512  # documents whose texts or chunks are looked up together


@dataclass(frozen=True, slots=True)
class Made:
    """A snapshot all of whose chunks and vectors are in the stores: that of what is published.

    Attributes:
        snapshot: its number.
        digest: of what it holds. Another snapshot may have its number, where it was lost.
        chunker: fingerprint under which its chunks are kept.
        vectors: fingerprint under which its vectors are kept.
    """

    snapshot: int
    digest: str
    chunker: str
    vectors: str


def require_readable(context: IngestContext) -> Snapshot:
    """The latest snapshot. Raises QuarantineExceeded if too large a part of it is quarantined."""
    snapshot = context.snapshots.latest()
    check_quarantine(context.snapshots, snapshot, context.corpus.parsing)
    return snapshot


def documents_to_process(context: IngestContext, made: Made | None) -> pl.DataFrame:
    """Readable documents of the latest snapshot of which chunks or vectors may be lacking.

    Args:
        context: the corpus.
        made: what was made before: only what differs from it is looked at; None looks at everything.
    """
    snapshot = context.snapshots.latest()
    if made is not None:
        changed = changed_since(context.snapshots, made.snapshot, made.digest, snapshot)
        same = (made.chunker, made.vectors) == (context.chunker.fingerprint, context.vectors)
        if changed is not None and same:
            return changed[1]
    return context.snapshots.readable(snapshot)


def changed_since(
    snapshots: SnapshotStore, number: int, digest: str, now: Snapshot
) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Documents that are gone or changed since a snapshot, and those that are new or changed.

    Args:
        snapshots: of the corpus.
        number: of the earlier snapshot.
        digest: of what it holds.
        now: the later one.

    Returns:
        None where the earlier one was lost, damaged or replaced: the difference is not known.
    """
    before = snapshots.find(number, digest)
    if before is None:
        return None
    try:
        return snapshots.changed(before, now)
    except ObjectLost as error:
        warn(str(error))
        return None


def restore(objects: ObjectStore, corpus: models.Corpus, documents: pl.DataFrame) -> None:
    """Parse documents (``snapshots.READABLE``) again whose parsed text was lost from the store."""
    prefixes = [source.prefix for source in corpus.sources]
    sources = list(zip(prefixes, open_sources(corpus, objects), strict=True))
    restore_texts(objects, corpus, sources, documents)


def texts_of(objects: ObjectStore, documents: pl.DataFrame, keys: pl.Series) -> Iterator[pl.DataFrame]:
    """(key, text) of parsed documents by text key."""
    wanted = documents.filter(pl.col("text_key").is_in(keys.implode())).unique(
        "text_key", maintain_order=True
    )
    for (format,), part in wanted.group_by(["format"], maintain_order=True):
        store = document_store(objects, str(format))
        for batch in part.iter_slices(SLICE):
            for rows in store.get(batch["content_key"], ("text_key", "text")):
                yield rows.select(key="text_key", text="text")


def chunk_frames(
    chunks: ContentStore, documents: pl.DataFrame, columns: tuple[str, ...]
) -> Iterator[pl.DataFrame]:
    """One row per chunk of the documents' texts."""
    keys = documents["text_key"].unique(maintain_order=True)
    for start in range(0, keys.len(), SLICE):
        for rows in chunks.get(keys.slice(start, SLICE), columns):
            yield rows.drop("key").filter(pl.col("embedding_key").list.len() > 0).explode(columns)


def without_vectors(chunks: ContentStore, embeddings: ContentStore, documents: pl.DataFrame) -> pl.Series:
    """Keys of the documents' texts of which a chunk has no vector."""
    keys = documents["text_key"].unique(maintain_order=True)
    found = [pl.Series("key", [], dtype=pl.String)]
    for start in range(0, keys.len(), SLICE):
        for rows in chunks.get(keys.slice(start, SLICE), ("embedding_key",)):
            exploded = rows.filter(pl.col("embedding_key").list.len() > 0).explode("embedding_key")
            missing = embeddings.missing(exploded["embedding_key"])
            found.append(exploded.filter(pl.col("embedding_key").is_in(missing.implode()))["key"])
    return pl.concat(found).unique(maintain_order=True)


def missing_vectors(chunks: ContentStore, embeddings: ContentStore, documents: pl.DataFrame) -> int:
    """How many distinct texts of the documents lack a vector. Reads keys alone."""
    missing: set[str] = set()
    for frame in chunk_frames(chunks, documents, ("embedding_key",)):
        missing.update(embeddings.missing(frame["embedding_key"].unique()))
    return len(missing)


def texts_to_embed(chunks: ContentStore, documents: pl.DataFrame) -> pl.DataFrame:
    """key and tokens of every distinct text of the documents, embedded already or not."""
    frames = list(chunk_frames(chunks, documents, ("embedding_key", "tokens")))
    empty = pl.DataFrame(schema={"embedding_key": pl.String, "tokens": pl.Int32})
    return pl.concat([empty, *frames]).rename({"embedding_key": "key"}).unique("key", maintain_order=True)
