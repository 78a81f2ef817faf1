"""A corpus's gold set against what the store holds of its documents."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from rag_assets import corpus as models
from rag_assets.errors import StageIncomplete
from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.gold.check import Finding, check_gold
from rag_assets.ingest.parsing.batch import document_store
from rag_assets.ingest.work import restore
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import QUARANTINED, Snapshot, SnapshotStore

BATCH = 512  # documents read together


def check_corpus(objects: ObjectStore, corpus: models.Corpus, gold: GoldSet) -> list[Finding]:
    """Hold a gold set against the latest snapshot. Reads every parsed text once.

    Raises:
        StageIncomplete: the corpus was never run.
    """
    snapshots, snapshot = latest_snapshot(objects, corpus)
    readable = snapshots.readable(snapshot)
    refused = snapshots.quarantined(snapshot).filter(pl.col("status") == QUARANTINED)
    quarantined = dict(refused.select("document_id", "reason").iter_rows())
    texts = ((identity, text) for identity, _, text in parsed_texts(objects, corpus, readable))
    return check_gold(gold, set(readable["document_id"]), quarantined, texts)


def parsed_texts(
    objects: ObjectStore, corpus: models.Corpus, documents: pl.DataFrame
) -> Iterator[tuple[str, str | None, str]]:
    """(id, title, parsed text) of documents (``snapshots.READABLE``), in batches. Lost texts are parsed again.

    Raises:
        StageIncomplete: a text was lost, and its document has changed since the last run.
    """
    restore(objects, corpus, documents)
    for (format,), part in documents.group_by(["format"], maintain_order=True):
        store = document_store(objects, str(format))
        for batch in part.iter_slices(BATCH):
            texts = store.collect(batch["content_key"], ("text",))
            joined = batch.join(
                texts, left_on="content_key", right_on="key", how="left", maintain_order="left"
            )
            lacking = joined.filter(pl.col("text").is_null())
            if lacking.height:
                raise StageIncomplete(
                    f"{corpus.name}: {lacking.height} parsed texts were lost from the store and their documents have "
                    f"changed since the last run, e.g. {lacking['document_id'][0]!r}; rag-assets run {corpus.name}"
                )
            yield from joined.select("document_id", "title", "text").iter_rows()


def latest_snapshot(objects: ObjectStore, corpus: models.Corpus) -> tuple[SnapshotStore, Snapshot]:
    """The snapshots of a corpus and the latest of them. Raises StageIncomplete where the corpus was never run."""
    snapshots = SnapshotStore(objects, corpus.name)
    snapshot = snapshots.latest()
    if snapshot.number == 0:
        raise StageIncomplete(
            f"{corpus.name}: the corpus was never run, so that no document is known; run it first"
        )
    return snapshots, snapshot
