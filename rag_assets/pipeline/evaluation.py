"""Evaluate a candidate: ask the gold questions, compare with what is published, decide, report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.evaluation.gate.standards import max_unjudged_share
from rag_assets.evaluation.gate.targets import comparable, counted
from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.judging.answered import is_complete, with_answers
from rag_assets.evaluation.report.cost import Cost, cost_of
from rag_assets.evaluation.report.details import DECIDING_METRIC
from rag_assets.evaluation.report.files import read_report, write_report
from rag_assets.evaluation.report.report import Judged, Report, Subject, build_report
from rag_assets.evaluation.search.evaluate import evaluate, no_questions
from rag_assets.evaluation.search.measured import Measured
from rag_assets.evaluation.search.slices import counted_metrics, slice_rows, with_slices
from rag_assets.index.candidate import Candidate, snapshot_of
from rag_assets.pipeline.answers import BATCH, AnsweredVersion, Version
from rag_assets.pipeline.diagnosis import diagnose_all
from rag_assets.pipeline.targets import Targets, targets_of
from rag_assets.progress import Progress
from rag_assets.publication.candidates import is_published
from rag_assets.publication.record import Publication

if TYPE_CHECKING:
    from rag_assets.pipeline.pipeline import Pipeline


def evaluate_candidate(pipeline: Pipeline, candidate: Candidate, progress: Progress) -> tuple[Report, str]:
    """The report on a candidate and its path in the store; one that is there already is not made again."""
    corpus, objects = pipeline.corpus, pipeline.objects
    standards, about = pipeline.standards, pipeline.context.embedder.about
    path = standards.report_path(candidate.tag, candidate.version)
    found = read_report(objects, path)
    if found is not None and is_complete(found[1]) and _still_true(pipeline, candidate, found[0]):
        return found[0], path
    measured = _measure(pipeline, Version(candidate.tag, candidate.version), progress)
    against = _published(pipeline, candidate.version, progress)
    targets = targets_of(pipeline, candidate, measured, against)
    changes = targets.changes
    questions = counted(measured.figures, against[1].figures if against else None, changes)
    questions = with_slices(questions, _document_slices(pipeline, candidate, targets))
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
    incomparable = _incomparable(pipeline, published)
    quarantined = snapshot_of(pipeline.context.snapshots, candidate).quarantined
    diagnoses, left_out = diagnose_all(
        pipeline,
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
        judged=_judged(pipeline, questions, incomparable),
        costs=_costs(pipeline, candidate, questions),
        diagnoses=diagnoses,
        slices=slices,
        stale=changes.stale,
        lost=changes.lost,
        restored=changes.restored,
        warnings=_warnings(candidate, quarantined, left_out),
    )
    write_report(objects, path, report, measured)
    return report, path


def _measure(pipeline: Pipeline, version: Version, progress: Progress) -> Measured:
    """A version's answers to the gold set; search is asked only if its answers are not on record."""
    standards = pipeline.standards
    if standards.gold is None:
        return Measured.of(no_questions(standards.search_metrics))
    known = standards.measurements.read(version.tag)
    if known is not None and (pipeline.models is None or is_complete(known.figures)):
        return known
    return standards.measurements.write(version.tag, _batches(pipeline, standards.gold, version, progress))


def _batches(
    pipeline: Pipeline, gold: GoldSet, version: Version, progress: Progress
) -> Iterator[pl.DataFrame]:
    search, metrics, done = pipeline.search(version.version), pipeline.standards.search_metrics, 0
    answered = AnsweredVersion(pipeline, version).rows(*pipeline.models) if pipeline.models else None
    for questions in gold.batches(BATCH):
        rows = evaluate(questions, search, metrics=metrics)
        yield rows if answered is None else with_answers(rows, next(answered))
        done += len(questions)
        progress("evaluation", done, len(gold.questions))


def _published(pipeline: Pipeline, version: int, progress: Progress) -> tuple[Publication, Measured] | None:
    """What is published (or was before, if the candidate is what is published), asked the same questions."""
    before = pipeline.log.before(version)
    if before is None or pipeline.standards.gold is None:
        return None
    return before, _measure(pipeline, Version(before.candidate, before.version), progress)


def _still_true(pipeline: Pipeline, candidate: Candidate, report: Report) -> bool:
    """Whether a report says what a new one would."""
    if (
        report.lost
        and report.gate == "refused"
        and is_published(pipeline.objects, pipeline.corpus.name, candidate)
    ):
        return False  # under other standards since: of what readers see, they have lost nothing
    # Publishing compares with the published version's evaluation, not with the report: it must be whole.
    before = pipeline.log.before(candidate.version)
    if before is None or pipeline.standards.gold is None:
        return True
    known = pipeline.standards.measurements.read(before.candidate)
    return known is not None and is_complete(known.figures)


def _incomparable(pipeline: Pipeline, published: tuple[int, Measured] | None) -> str | None:
    """Why answers cannot be compared with the published version's: too many of those are not judged."""
    if published is None or "unanswered" not in published[1].figures.columns:
        return None
    asked = published[1].figures.filter(pl.col("answerable").is_not_null())
    missing = asked.select(pl.coalesce("unanswered", "unjudged")).to_series().drop_nulls().len()
    if missing <= max_unjudged_share(pipeline.corpus) * asked.height:
        return None
    return (
        f"{missing} of {asked.height} answers of publication {published[0]} are not judged, so that nobody can tell "
        "whether answers became worse; run again: only they are tried again"
    )


def _judged(pipeline: Pipeline, questions: pl.DataFrame, incomparable: str | None) -> Judged | None:
    if pipeline.models is None:
        return None
    generator, judge = pipeline.models
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


def _costs(pipeline: Pipeline, candidate: Candidate, questions: pl.DataFrame) -> list[Cost]:
    """What it took to embed in the last run, and to answer and judge every question once."""
    prices = pipeline.corpus.evaluation.prices
    stages = pipeline.runs.of(pipeline.run_id).get("stages", {})
    embedded = stages.get("embeddings", {})
    ahead = [stage["ahead"] for stage in stages.values() if "ahead" in stage]  # by a stream
    found = [
        cost_of(
            prices,
            "embedding, this run",
            str(pipeline.context.embedder.about["model"]),
            candidate.documents,
            prompt_tokens=int(embedded.get("tokens", 0)) + sum(int(made["tokens"]) for made in ahead),
            seconds=sum(float(stage["seconds"]) for stage in [embedded, *ahead] if stage.get("embedded")),
        )
    ]
    if pipeline.models is None:
        return found
    generator, judge = pipeline.models
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


def _document_slices(pipeline: Pipeline, candidate: Candidate, targets: Targets) -> pl.DataFrame:
    """document_id and the slices of each document: its source, type and tenant, where it says one.

    What was removed belongs to the slices that it had, or nobody would see that a slice lost its documents.
    """
    rows = pipeline.context.snapshots.rows(
        snapshot_of(pipeline.context.snapshots, candidate), ("document_id", "source", "format", "metadata")
    )
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


def _warnings(candidate: Candidate, quarantined: int, undiagnosed: int) -> list[str]:
    found = []
    if quarantined:
        found.append(f"{quarantined} documents are quarantined and cannot be found.")
    if candidate.facts.get("poisoned"):
        found.append(f"{candidate.facts['poisoned']} chunks could not be embedded and cannot be found.")
    if candidate.facts.get("damage"):
        found.append(f"What was published before {candidate.facts['damage']}; its index was written anew.")
    if undiagnosed:
        found.append(f"{undiagnosed} further questions went wrong; they were not diagnosed.")
    return found
