"""Status: what readers see, what the last run did. Read from the store and the corpus file's standards."""

from __future__ import annotations

from typing import Any

import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.errors import RagAssetsError
from rag_assets.evaluation.files import read_report
from rag_assets.evaluation.standards import Standards
from rag_assets.pipeline.runs import RunRecords, summary
from rag_assets.publication.log import Publication, PublicationLog
from rag_assets.publication.publish import headline
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import Snapshot, SnapshotStore

LISTED_DOCUMENTS = 100  # quarantined documents that status lists, at most


def status(objects: ObjectStore, corpus: Corpus) -> dict[str, Any]:
    """The ``status`` object of the command line. Fields about the publication are null before the first."""
    log = PublicationLog(objects, corpus.name)
    head, tag = log.head(), log.published_tag()
    snapshots = SnapshotStore(objects, corpus.name)
    snapshot = snapshots.latest()
    rejected = _rejected(snapshots, snapshot)
    last_run = RunRecords(objects, corpus.name).last()
    model = head.about["embedder"] if head else {}
    metrics, report = _measured(objects, corpus, head) if head else ({}, None)
    return {
        "corpus": corpus.name,
        "publication": head.number if head else None,
        "lance_version": head.version if head else None,
        "published_version": tag.found if tag else None,
        "tag_problem": tag.problem if tag else None,
        "snapshot": head.snapshot if head else None,
        "documents": head.documents if head else 0,
        "chunks": head.chunks if head else 0,
        "quarantined": snapshot.quarantined,
        "embedder": model.get("model"),
        "quarantined_documents": rejected.to_dicts(),
        "latest_snapshot": snapshot.number,
        "published_at": head.time if head else None,
        "kind": head.kind if head else None,
        "metrics": metrics,
        "report": report,
        "last_run": summary(last_run["stages"]) if last_run else None,
    }


def _rejected(snapshots: SnapshotStore, snapshot: Snapshot) -> pl.DataFrame:
    """Quarantined documents with reason and detail; none where the rows of the snapshot are lost."""
    columns = ("document_id", "reason", "detail")
    try:
        return snapshots.quarantined(snapshot).head(LISTED_DOCUMENTS).select(columns)
    except ObjectLost as error:
        warn(str(error))
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))


def _measured(objects: ObjectStore, corpus: Corpus, head: Publication) -> tuple[dict[str, float], str]:
    """Figures of what is published, and their page: under the present gold set and rules, if it was asked them."""
    try:
        path = Standards(objects, corpus).report_path(head.candidate, head.version)
    except RagAssetsError:  # a gold set with mistakes: what is published is known all the same
        return dict(head.metrics), f"{head.report}/report.html"
    found = read_report(objects, path)
    if found is None:
        return dict(head.metrics), f"{head.report}/report.html"
    return headline(found[0]), f"{path}/report.html"


def history_entry(publication: Publication) -> dict[str, Any]:
    """One row of ``history``."""
    return {
        "publication": publication.number,
        "lance_version": publication.version,
        "time": publication.time,
        "reason": publication.reason,
        "kind": publication.kind,
        "by": publication.by,
        "changes": dict(publication.changes),
        "metrics": dict(publication.metrics),
    }
