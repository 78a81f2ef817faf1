"""Stage: evaluate a candidate. Ask the gold questions, compare with what is published, decide, report.

Run alone: ``evaluate_candidate(context, Standards(objects, corpus), candidate, None, seen=False,
lost=False, search=partial(open_search, context), stages={}, progress=silent)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.evaluation.answers.generator import Generator
from rag_assets.evaluation.candidate.answers import BATCH, AnsweredVersion, Version
from rag_assets.evaluation.candidate.targets import Targets, targets_of
from rag_assets.evaluation.candidate.traces import diagnose_all
from rag_assets.evaluation.gate.standards import Standards, max_unjudged_share
from rag_assets.evaluation.gate.targets import NOTHING_LOST, LostTarget, comparable, counted, still_lost
from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.judging.answered import is_complete, with_answers
from rag_assets.evaluation.judging.judge import Judge
from rag_assets.evaluation.report.cost import Cost, cost_of
from rag_assets.evaluation.report.details import DECIDING_METRIC
from rag_assets.evaluation.report.files import find_report, read_report, write_report
from rag_assets.evaluation.report.report import Judged, Report, Subject, build_report
from rag_assets.evaluation.search.evaluate import evaluate, no_questions
from rag_assets.evaluation.search.measured import Measured
from rag_assets.evaluation.search.search import SearchOf
from rag_assets.evaluation.search.slices import counted_metrics, slice_rows, with_slices
from rag_assets.index.base import Base
from rag_assets.index.candidate import Candidate, snapshot_of
from rag_assets.ingest.context import IngestContext
from rag_assets.progress import Progress
from rag_assets.store.snapshots import SnapshotStore


def evaluate_candidate(
    context: IngestContext,
    standards: Standards,
    candidate: Candidate,
    base: Base | None,
    *,
    seen: bool,
    lost: bool,
    search: SearchOf,
    stages: Mapping[str, Any],
    progress: Progress,
) -> tuple[Report, str]:
    """The report on a candidate and its path in the store; one that is there already is not made again.

    Args:
        context: the corpus.
        standards: what the candidate is held to.
        candidate: what is evaluated.
        base: what it is compared with: what is published, or was before if that is the candidate.
        seen: whether readers see the candidate already.
        lost: whether the base's index was lost, so that it cannot be searched any more.
        search: opens the search of a version.
        stages: what the run recorded of the stages before, for its costs.
        progress: told how far it has come.
    """
    corpus, about = context.corpus, context.embedder.about
    path = standards.report_path(candidate.tag, candidate.version)
    found = read_report(context.objects, path)
    if found is not None and is_complete(found[1]) and _still_true(standards, base, found[0], seen, lost):
        return found[0], path
    measure = partial(_measure, standards, search, progress)
    measured = measure(Version(candidate.tag, candidate.version))
    against = None
    if base is not None and standards.gold is not None:
        version = Version(base.candidate, base.version)
        known = _on_record(standards, version)
        if known is not None or not lost:
            against = (base, known or measure(version))
    held = None if base is None else (base, against[1] if against else None)
    gone = _lost_before(context, base)
    targets = targets_of(standards, context.snapshots, candidate, measured, held, gone, seen=seen)
    changes = targets.changes
    questions = counted(measured.figures, against[1].figures if against else None, changes)
    questions = with_slices(questions, _document_slices(context.snapshots, candidate, targets))
    measured = replace(measured, figures=questions)
    published = None
    if against is not None:
        before = comparable(questions, against[1].figures, changes.restored)
        published = (against[0].number, replace(against[1], figures=before))
    slices = slice_rows(
        questions,
        published[1].figures if published else None,
        counted_metrics(questions.columns, DECIDING_METRIC),
        corpus.evaluation.bootstrap_samples,
    )
    incomparable = _incomparable(corpus, published)
    quarantined = snapshot_of(context.snapshots, candidate).quarantined
    diagnoses, left_out = diagnose_all(
        context,
        candidate,
        measured,
        published[1] if published else None,
        targets,
    )
    report = build_report(
        corpus,
        Subject(
            lance_version=candidate.version,
            candidate=candidate.tag,
            snapshot=candidate.snapshot,
            documents=candidate.documents,
            chunks=candidate.chunks,
            embedder=f"{about['model']} ({about['precision'] or 'endpoint'})",
        ),
        standards.gold,
        measured,
        index={key: value for key, value in candidate.facts.items() if key != "poisoned_sample"},
        published=published,
        problems=standards.problems(
            candidate.changes.get("removed", 0),
            candidate.base_documents,
            candidate.facts,
            changes.stale,
            changes.lost,
            slices,
            incomparable,
        ),
        judged=_judged(standards.models, questions, incomparable),
        costs=_costs(context, standards.models, stages, candidate, questions),
        diagnoses=diagnoses,
        slices=slices,
        stale=changes.stale,
        lost=changes.lost,
        restored=changes.restored,
        warnings=_warnings(candidate, quarantined, left_out, base if lost else None),
    )
    write_report(context.objects, path, report, measured)
    return report, path


def _lost_before(context: IngestContext, base: Base | None) -> Mapping[tuple[str, str], LostTarget]:
    """Read from the report with which the base was published which targets had been lost by then."""
    report = find_report(context.objects, base.report) if base is not None and base.report else None
    return NOTHING_LOST if report is None else still_lost(report.lost, report.compared_with)


def _measure(standards: Standards, search: SearchOf, progress: Progress, version: Version) -> Measured:
    """A version's answers to the gold set; search is asked only if its answers are not on record."""
    if standards.gold is None:
        return Measured.of(no_questions(standards.search_metrics))
    known = _on_record(standards, version)
    if known is not None:
        return known
    rows = _batches(standards, standards.gold, search, progress, version)
    return standards.measurements.write(version.tag, rows)


def _on_record(standards: Standards, version: Version) -> Measured | None:
    """A version's answers, where all of them are on record."""
    known = standards.measurements.read(version.tag)
    complete = known is not None and (standards.models is None or is_complete(known.figures))
    return known if complete else None


def _batches(
    standards: Standards, gold: GoldSet, search: SearchOf, progress: Progress, version: Version
) -> Iterator[pl.DataFrame]:
    ask, metrics, done = search(version.version), standards.search_metrics, 0
    models = standards.models
    answered = AnsweredVersion(standards, version, search).rows(*models) if models else None
    for questions in gold.batches(BATCH):
        rows = evaluate(questions, ask, metrics=metrics)
        yield rows if answered is None else with_answers(rows, next(answered))
        done += len(questions)
        progress("evaluation", done, len(gold.questions))


def _still_true(standards: Standards, base: Base | None, report: Report, seen: bool, lost: bool) -> bool:
    """Whether a report says what a new one would."""
    if report.lost and report.gate == "refused" and seen:
        return False  # under other standards since: of what readers see, they have lost nothing
    # Publishing compares with the published version's evaluation, not with the report: it must be whole.
    if base is None or lost or standards.gold is None:
        return True
    known = standards.measurements.read(base.candidate)
    return known is not None and is_complete(known.figures)


def _incomparable(corpus: Corpus, published: tuple[int, Measured] | None) -> str | None:
    """Why answers cannot be compared with the published version's: too many of those are not judged."""
    if published is None or "unanswered" not in published[1].figures.columns:
        return None
    asked = published[1].figures.filter(pl.col("answerable").is_not_null())
    missing = asked.select(pl.coalesce("unanswered", "unjudged")).to_series().drop_nulls().len()
    if missing <= max_unjudged_share(corpus) * asked.height:
        return None
    return (
        f"{missing} of {asked.height} answers of publication {published[0]} are not judged, so that nobody can tell "
        "whether answers became worse; run again: only they are tried again"
    )


def _judged(
    models: tuple[Generator, Judge] | None, questions: pl.DataFrame, incomparable: str | None
) -> Judged | None:
    if models is None:
        return None
    generator, judge = models
    rows = questions.filter(pl.col("answerable").is_not_null())
    return Judged(
        generator=f"{generator.about['model']} ({generator.about['backend']})",
        extractive=generator.about["backend"] == "extractive",
        judge=f"{judge.about['model']} ({judge.about['backend']})",
        reliability=dict(judge.reliability),
        answered=rows["answer"].count(),
        unanswered=rows["unanswered"].count(),
        unjudged=rows["unjudged"].count(),
        incomparable=incomparable,
    )


def _costs(
    context: IngestContext,
    models: tuple[Generator, Judge] | None,
    stages: Mapping[str, Any],
    candidate: Candidate,
    questions: pl.DataFrame,
) -> list[Cost]:
    """What it took to embed in the last run, and to answer and judge every question once."""
    prices = context.corpus.evaluation.prices
    embedded = stages.get("embeddings", {})
    ahead = [stage["ahead"] for stage in stages.values() if "ahead" in stage]  # by a stream
    found = [
        cost_of(
            prices,
            "embedding, this run",
            str(context.embedder.about["model"]),
            candidate.documents,
            prompt_tokens=int(embedded.get("tokens", 0)) + sum(int(made["tokens"]) for made in ahead),
            seconds=sum(float(stage["seconds"]) for stage in [embedded, *ahead] if stage.get("embedded")),
        )
    ]
    if models is None:
        return found
    generator, judge = models
    for who, about in (("answer", generator.about), ("judge", judge.about)):
        tokens = questions[f"{who}_tokens"].drop_nulls()
        found.append(
            cost_of(
                prices,
                "answers" if who == "answer" else "judgements",
                str(about["model"]),
                tokens.len(),
                prompt_tokens=int(tokens.list.get(0).sum()),
                completion_tokens=int(tokens.list.get(1).sum()),
                seconds=float(questions[f"{who}_seconds"].sum()),
            )
        )
    return found


def _document_slices(snapshots: SnapshotStore, candidate: Candidate, targets: Targets) -> pl.DataFrame:
    """document_id and the slices of each document: its source, type and tenant, where it says one.

    What was removed belongs to the slices that it had, or nobody would see that a slice lost its documents.
    """
    rows = snapshots.rows(snapshot_of(snapshots, candidate), ("document_id", "source", "format", "metadata"))
    if targets.removed is not None:
        removed = targets.removed.select(rows.columns)
        rows = pl.concat([rows.join(removed, on="document_id", how="anti"), removed])
    tenant = pl.col("metadata").str.json_path_match("$.tenant")
    return rows.select(
        "document_id",
        slices=pl.concat_list(
            # A corpus with one source has nothing to tell apart.
            pl.when(pl.col("source") != "").then(pl.lit("source: ") + pl.col("source")),
            pl.lit("type: ") + pl.col("format"),
            pl.lit("tenant: ") + tenant,
        ).list.drop_nulls(),
    )


def _warnings(candidate: Candidate, quarantined: int, undiagnosed: int, lost: Base | None) -> list[str]:
    found = []
    if lost is not None:
        found.append(
            f"The index was lost; what the store still tells of publication {lost.number} is compared with."
        )
    if quarantined:
        found.append(f"{quarantined} documents are quarantined and cannot be found.")
    if candidate.facts.get("poisoned"):
        found.append(f"{candidate.facts['poisoned']} chunks could not be embedded and cannot be found.")
    if candidate.facts.get("damage"):
        found.append(f"What was published before {candidate.facts['damage']}; its index was written anew.")
    if undiagnosed:
        found.append(f"{undiagnosed} further questions went wrong; they were not diagnosed.")
    return found
