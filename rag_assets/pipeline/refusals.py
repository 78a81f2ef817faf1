"""Versions that the gate refused, from the reports in the store: what a run tried, and why readers do not see it.

Readers keep the publication that the version was compared with. Reports outlive Dagster's database, and so does this.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rag_assets.evaluation.report.files import JSON_FILE, PAGE_FILE, find_report
from rag_assets.evaluation.report.refusal import refusal_reasons
from rag_assets.evaluation.report.report import Report
from rag_assets.pipeline.runs import RunRecords
from rag_assets.publication.publish import headline
from rag_assets.publication.record import Publication
from rag_assets.store.objects import ObjectStore

LISTED = 20  # reports in which history looks for refused versions, newest first
_FOLDER = re.compile(r"^(\d{10})-[0-9a-f]+$")


@dataclass(frozen=True)
class Refusal:
    """A version that the gate refused, with the fields that ``status`` and ``history`` show.

    Attributes:
        lance_version: of the table.
        time: of its evaluation, ISO 8601 in UTC.
        reasons: which rule failed, by how much and on which questions, and what else was wrong.
        report: path of the report's page below the store.
        publication: what readers kept; None before the first publication.
        metrics: headline metrics, such as ``{"recall@5 hybrid": 0.95}``.
    """

    lance_version: int
    time: str
    reasons: tuple[str, ...]
    report: str
    publication: int | None
    metrics: dict[str, float]


def newest_refusal(objects: ObjectStore, corpus: str, head: Publication | None) -> Refusal | None:
    """The refusal that stands: the version evaluated last was refused, and nothing was published since.

    Args:
        objects: the store.
        corpus: name of the corpus.
        head: what readers see.
    """
    path = RunRecords(objects, corpus).evaluated().get("report")
    report = find_report(objects, path) if isinstance(path, str) else None
    if report is None or report.verdict.passed:
        return None
    if head is None:  # also where the index was lost, and its last record was compared with
        return replace(_refusal(report, str(path)), publication=None)
    if report.compared_with != head.number:
        return None
    if report.subject.candidate == head.candidate:
        return None  # it is published: rules that were made since would refuse it
    return _refusal(report, str(path))


def refused_versions(objects: ObjectStore, corpus: str, published: Sequence[Publication]) -> list[Refusal]:
    """The versions that were refused most recently, oldest first. One may have been published under other rules since.

    Args:
        objects: the store.
        corpus: name of the corpus.
        published: all publications.
    """
    root = f"corpora/{corpus}/reports"
    folders: defaultdict[int, list[tuple[datetime, str]]] = defaultdict(list)
    for info in objects.list(root):
        folder, _, name = info.path.removeprefix(f"{root}/").partition("/")
        match = _FOLDER.match(folder)
        if name == JSON_FILE and match is not None:
            folders[int(match[1])].append((info.modified, f"{root}/{folder}"))
    # The only report of a published version is the one with which it passed.
    seen = {one.version for one in published}
    open_ = [
        one for version, found in folders.items() if version not in seen or len(found) > 1 for one in found
    ]
    since: dict[str, str] = {}
    for publication in published:
        since.setdefault(publication.candidate, publication.time)
    refused = []
    for _, path in sorted(open_)[-LISTED:]:
        report = find_report(objects, path)
        # A published version that is held to later rules was not refused: it is what readers see.
        if report is not None and not report.verdict.passed:
            refusal, place = _refusal(report, path), since.get(report.subject.candidate)
            if place is None or refusal.time <= place:
                refused.append(refusal)
    return sorted(refused, key=lambda one: one.time)


def _refusal(report: Report, path: str) -> Refusal:
    return Refusal(
        lance_version=report.subject.lance_version,
        time=report.created.isoformat(timespec="seconds"),
        reasons=refusal_reasons(report),
        report=f"{path}/{PAGE_FILE}",
        publication=report.compared_with,
        metrics=headline(report),
    )
