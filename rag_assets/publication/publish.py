"""Publish a candidate, or roll back: verify everything once more, then one atomic claim.

The gate holds here even when Dagster is bypassed: the report must exist for exactly this
version, and the rules of the corpus file are applied to it again.
"""

from __future__ import annotations

from dataclasses import replace

from rag_assets import corpus as models
from rag_assets.errors import GateRefused, NotPublished, PublicationConflict, VerificationFailed
from rag_assets.evaluation.gate.gate import decide
from rag_assets.evaluation.gate.standards import Standards, max_unjudged_share
from rag_assets.evaluation.report.files import read_report
from rag_assets.evaluation.report.refusal import refusal_reasons
from rag_assets.evaluation.report.report import Report
from rag_assets.index.candidate import Candidate, CandidateStore
from rag_assets.index.documents import changes_between
from rag_assets.index.table import open_table
from rag_assets.index.verify import AGAIN, verify_indexes
from rag_assets.publication.erased import require_nothing_erased
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.mending import mend
from rag_assets.publication.record import Publication
from rag_assets.store.objects import ObjectStore


def publish(
    objects: ObjectStore,
    corpus: models.Corpus,
    candidate: Candidate,
    *,
    reason: str,
    by: str,
) -> Publication:
    """Make a candidate what readers see.

    Args:
        candidate: a complete candidate.
        reason: why, for the log.
        by: who, for the log.

    Raises:
        GateRefused: no report for exactly this version, or a rule fails.
        VerificationFailed: the table is not what the candidate's record says.
        PublicationConflict: another publication came in between; build on top of it.
    """
    log = PublicationLog(objects, corpus.name)
    log.repair()
    head = log.head()
    if (head.number if head else 0) != candidate.base:
        raise PublicationConflict(
            f"{corpus.name}: the candidate was built on publication {candidate.base}, readers see "
            f"{head.number if head else 'none'} by now; run again"
        )
    report, report_path = _passed_report(objects, corpus, candidate, head)
    _verify_unchanged(objects, corpus.name, candidate)
    publication = Publication(
        number=candidate.base + 1,
        version=candidate.version,
        candidate=candidate.tag,
        kind="publish",
        reason=reason,
        time="",
        by=by,
        snapshot=candidate.snapshot,
        spec=candidate.spec,
        documents=candidate.documents,
        chunks=candidate.chunks,
        report=report_path,
        changes=candidate.changes,
        metrics=headline(report),
        facts=candidate.facts,
        about=candidate.about,
    )
    return log.claim(publication, CandidateStore(objects, corpus.name).changes(candidate.version))


def rollback(objects: ObjectStore, corpus: str, to: int | None, *, reason: str, by: str) -> Publication:
    """Make an earlier (or later) retained publication what readers see, as a new publication.

    The content that is taken back is held: runs do not publish it again until it changes, or
    until it is named as a target here.

    Args:
        corpus: name of the corpus.
        to: number of the target; None is the one before the head.

    Raises:
        NotPublished: there is no such publication, or readers would see erased documents again.
        PublicationConflict: another publication came in between.
    """
    mend(objects, corpus)
    log = PublicationLog(objects, corpus)
    head = log.head()
    if head is None:
        raise NotPublished(f"{corpus}: nothing is published yet")
    if to is None and head.number == 1:
        raise NotPublished(f"{corpus}: there is only one publication; nothing to roll back to")
    target = log.find(head.number - 1 if to is None else to)
    if target.version == head.version:
        raise NotPublished(
            f"{corpus}: publication {target.number} is what readers see already; name another with --to"
        )
    require_nothing_erased(objects, corpus, target)
    held = {*head.held, head.spec.digest} - {target.spec.digest}
    changes = changes_between(objects, corpus, head.base, target.base)
    publication = replace(
        target,
        number=head.number + 1,
        kind="rollback",
        reason=reason or f"rollback to publication {target.number}",
        by=by,
        changes=dict(changes.group_by("change").len().iter_rows()),
        held=tuple(sorted(held)),
    )
    with log.holding(target):
        return log.claim(publication, changes)


def headline(report: Report) -> dict[str, float]:
    """The report's metrics over all questions, e.g. ``{"recall@5 hybrid": 0.95}``."""
    return {f"{row.metric} {row.mode}": row.value for row in report.metrics if row.tag is None}


def _passed_report(
    objects: ObjectStore, corpus: models.Corpus, candidate: Candidate, head: Publication | None
) -> tuple[Report, str]:
    """The report on exactly this candidate under the present standards, judged once more, and its path."""
    standards = Standards(objects, corpus)
    path = standards.report_path(candidate.tag, candidate.version)
    found = read_report(objects, path)
    if found is None or found[0].subject.candidate != candidate.tag:
        raise GateRefused(
            f"{corpus.name}: there is no evaluation report for exactly version {candidate.version} under the present "
            "gold set and rules; materialize the evaluation first"
        )
    report, questions = found
    rules = corpus.gate.rules
    baseline = standards.measurements.read(head.candidate) if head else None
    if head is not None and baseline is None and any(rule.max_drop is not None for rule in rules):
        raise GateRefused(
            f"{corpus.name}: publication {head.number} was not asked the present gold set, so no drop can be measured; "
            "materialize the evaluation first"
        )
    problems = standards.problems(
        candidate.changes.get("removed", 0),
        candidate.base_documents,
        candidate.facts,
        report.stale,
        report.lost,
        report.slices,
        report.judged.incomparable if report.judged else None,
    )
    before = baseline.figures if baseline else None
    verdict = decide(rules, questions, before, problems, max_unjudged_share(corpus), report.restored)
    if not verdict.passed or not report.verdict.passed:
        failed = report if verdict.passed else report.model_copy(update={"verdict": verdict})
        reasons = "\n".join(refusal_reasons(failed))
        raise GateRefused(f"{corpus.name}: the gate refused version {candidate.version}\n{reasons}")
    return report, path


def _verify_unchanged(objects: ObjectStore, name: str, candidate: Candidate) -> None:
    table = open_table(objects, name, at=candidate.tag)
    if table is None or table.version != candidate.version:
        raise VerificationFailed(
            f"{name}: the tag {candidate.tag} is not at version {candidate.version}{AGAIN}"
        )
    rows = table.count_rows()
    if rows != candidate.chunks:
        raise VerificationFailed(
            f"{name}: version {candidate.version} has {rows} rows, not {candidate.chunks}{AGAIN}"
        )
    verify_indexes(table)
