"""What a run has to process: the documents that differ from what is published, their texts and chunks, in slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from rag_assets import corpus as models
from rag_assets.ingest.parsing.batch import document_store
from rag_assets.ingest.parsing.stage import restore_texts
from rag_assets.ingest.sources.open import open_sources
from rag_assets.publication.record import Publication
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import Snapshot

if TYPE_CHECKING:
    from rag_assets.pipeline.pipeline import Pipeline

SLICE = 512  # documents whose texts or chunks are looked up together


def documents_to_process(pipeline: Pipeline, *, everything: bool = False) -> pl.DataFrame:
    """Readable documents that differ from what is published: only theirs may lack chunks or vectors.

    A published index has all of its chunks and vectors in the stores, so only the change counts.
    """
    snapshot = pipeline.snapshots.latest()
    head = None if everything else pipeline.log.head()
    if head is not None:
        spec = pipeline.spec(snapshot)
        changed = changed_since(pipeline, head, snapshot)
        if changed is not None and (head.spec.chunker, head.spec.embedder) == (spec.chunker, spec.embedder):
            return changed[1]
    return pipeline.snapshots.readable(snapshot)


def changed_since(
    pipeline: Pipeline, head: Publication, snapshot: Snapshot
) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Documents that are gone or changed since a publication, and those that are new or changed.

    None where the snapshot of the publication was lost, damaged or replaced: the difference is not known.
    """
    base = pipeline.snapshots.find(head.snapshot, head.spec.snapshot)
    if base is None:
        return None
    try:
        return pipeline.snapshots.changed(base, snapshot)
    except ObjectLost as error:
        warn(str(error))
        return None


def restore(objects: ObjectStore, corpus: models.Corpus, documents: pl.DataFrame) -> None:
    """Parse documents (``snapshots.READABLE``) again whose parsed text was lost from the store."""
    prefixes = [source.prefix for source in corpus.sources]
    sources = list(zip(prefixes, open_sources(corpus, objects), strict=True))
    restore_texts(objects, corpus, sources, documents)


def texts_of(pipeline: Pipeline, documents: pl.DataFrame, keys: pl.Series) -> Iterator[pl.DataFrame]:
    """(key, text) of parsed documents by text key."""
    wanted = documents.filter(pl.col("text_key").is_in(keys.implode())).unique(
        "text_key", maintain_order=True
    )
    for (format,), part in wanted.group_by(["format"], maintain_order=True):
        store = document_store(pipeline.objects, str(format))
        for batch in part.iter_slices(SLICE):
            for rows in store.get(batch["content_key"], ("text_key", "text")):
                yield rows.select(key="text_key", text="text")


def chunk_frames(
    pipeline: Pipeline, documents: pl.DataFrame, columns: tuple[str, ...]
) -> Iterator[pl.DataFrame]:
    """One row per chunk of the documents' texts."""
    keys = documents["text_key"].unique(maintain_order=True)
    for start in range(0, keys.len(), SLICE):
        for rows in pipeline.chunk_store.get(keys.slice(start, SLICE), columns):
            yield rows.drop("key").filter(pl.col("embedding_key").list.len() > 0).explode(columns)


def without_vectors(pipeline: Pipeline, documents: pl.DataFrame) -> pl.Series:
    """Keys of the documents' texts of which a chunk has no vector."""
    keys = documents["text_key"].unique(maintain_order=True)
    found = [pl.Series("key", [], dtype=pl.String)]
    for start in range(0, keys.len(), SLICE):
        for rows in pipeline.chunk_store.get(keys.slice(start, SLICE), ("embedding_key",)):
            chunks = rows.filter(pl.col("embedding_key").list.len() > 0).explode("embedding_key")
            missing = pipeline.embedding_store.missing(chunks["embedding_key"])
            found.append(chunks.filter(pl.col("embedding_key").is_in(missing.implode()))["key"])
    return pl.concat(found).unique(maintain_order=True)


def texts_to_embed(pipeline: Pipeline) -> pl.DataFrame:
    """key and tokens of every distinct text of the documents to process, embedded already or not."""
    frames = list(chunk_frames(pipeline, documents_to_process(pipeline), ("embedding_key", "tokens")))
    empty = pl.DataFrame(schema={"embedding_key": pl.String, "tokens": pl.Int32})
    return pl.concat([empty, *frames]).rename({"embedding_key": "key"}).unique("key", maintain_order=True)
