"""Status and history: what readers see, what the last run did and what was refused.

Read from the store and the corpus file's standards.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from rag_assets.corpus import Corpus
from rag_assets.errors import RagAssetsError
from rag_assets.evaluation.gate.standards import Standards
from rag_assets.evaluation.report.files import PAGE_FILE, find_report
from rag_assets.evaluation.report.refusal import why_not_measured
from rag_assets.evaluation.report.report import Report
from rag_assets.pipeline.quarantine import quarantined_documents
from rag_assets.pipeline.refusals import newest_refusal, refused_versions
from rag_assets.pipeline.runs import RunRecords, summary
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import headline
from rag_assets.publication.record import Publication
from rag_assets.publication.verification import damage_in_words, verification_of
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import SnapshotStore

_UNPUBLISHED: dict[str, Any] = {
    "publication": None,
    "lance_version": None,
    "reason": "nothing was published yet",
    "kind": "refused",
    "by": "",
    "changes": {},
    "metrics": {},
}


def status(objects: ObjectStore, corpus: Corpus) -> dict[str, Any]:
    """The ``status`` object of the command line. Fields about the publication are null before the first."""
    log = PublicationLog(objects, corpus.name)
    head, tag = log.head(), log.published_tag()
    snapshots = SnapshotStore(objects, corpus.name)
    snapshot = snapshots.latest()
    last_run = RunRecords(objects, corpus.name).last()
    model = head.about.get("embedder", {}) if head else {}
    report, path = _measured(objects, corpus, head) if head else (None, None)
    verified = verification_of(objects, corpus.name, head) if head else None
    refused = newest_refusal(objects, corpus.name, head)
    return {
        "corpus": corpus.name,
        "publication": head.number if head else None,
        "lance_version": head.version if head else None,
        "published_version": tag.found if tag else None,
        "tag_problem": tag.problem if tag else None,
        "verified_at": verified.time if verified else None,
        "damage": damage_in_words(corpus.name, verified) if verified else None,
        "snapshot": head.snapshot if head else None,
        "documents": head.documents if head else 0,
        "chunks": head.chunks if head else 0,
        "quarantined": snapshot.quarantined,
        "embedder": model.get("model"),
        "quarantined_documents": quarantined_documents(snapshots, snapshot),
        "latest_snapshot": snapshot.number,
        "published_at": head.time if head else None,
        "kind": head.kind if head else None,
        "metrics": headline(report) if report else dict(head.metrics) if head else {},
        "report": f"{path}/{PAGE_FILE}" if path else None,
        "gate": report.gate if report else None,
        "not_measured": why_not_measured(report) if report else None,
        "refused": asdict(refused) if refused else None,
        "last_run": summary(last_run["stages"]) if last_run else None,
    }


def history(objects: ObjectStore, corpus: str) -> list[dict[str, Any]]:
    """The ``history`` object of the command line: all publications, oldest first.

    A version that was refused stands in ``refused`` of the publication that readers kept. One that was refused before
    the first publication stands in an entry without a number.
    """
    publications = PublicationLog(objects, corpus).history()
    refused: defaultdict[int | None, list[dict[str, Any]]] = defaultdict(list)
    known = {one.number for one in publications}
    for one in refused_versions(objects, corpus, publications):
        refused[one.publication if one.publication in known else None].append(asdict(one))
    entries = [history_entry(one) | {"refused": refused[one.number]} for one in publications]
    if not refused[None]:
        return entries
    return [_UNPUBLISHED | {"time": refused[None][0]["time"], "refused": refused[None]}, *entries]


def _measured(objects: ObjectStore, corpus: Corpus, head: Publication) -> tuple[Report | None, str | None]:
    """The report on what is published, and its place: under the present gold set and rules, if it was asked them."""
    try:
        path = Standards(objects, corpus).report_path(head.candidate, head.version)
    except RagAssetsError:  # a gold set with mistakes: what is published is known all the same
        path = head.report
    found = find_report(objects, path)
    if found is not None:
        return found, path
    # Where the record of the publication was lost, its report is not known.
    return (find_report(objects, head.report), head.report) if head.report else (None, None)


def history_entry(publication: Publication) -> dict[str, Any]:
    """One entry of ``history``, without what was refused since."""
    return {
        "publication": publication.number,
        "lance_version": publication.version,
        "time": publication.time,
        "reason": publication.reason,
        "kind": publication.kind,
        "by": publication.by,
        "changes": dict(publication.changes),
        "metrics": dict(publication.metrics),
        "refused": [],
    }
