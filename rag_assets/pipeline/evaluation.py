"""Evaluate a candidate: ask the gold questions, compare with what is published, decide, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from rag_assets.embedding.open import open_embedder
from rag_assets.errors import StoreUnavailable
from rag_assets.evaluation.evaluate import evaluate, no_questions
from rag_assets.evaluation.files import read_report, write_report
from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.report import Report, Subject, build_report
from rag_assets.evaluation.standards import Standards
from rag_assets.index.candidate import Candidate
from rag_assets.index.schema import read_metadata
from rag_assets.index.search import BatchSearch, PinnedIndex
from rag_assets.index.table import open_table
from rag_assets.pipeline.progress import Progress
from rag_assets.store.snapshots import OK

if TYPE_CHECKING:
    from rag_assets.pipeline.pipeline import Pipeline


def evaluate_candidate(pipeline: Pipeline, candidate: Candidate, progress: Progress) -> tuple[Report, str]:
    """The report on a candidate and its path in the store; one that is there already is not made again."""
    corpus, objects = pipeline.corpus, pipeline.objects
    standards = Standards(objects, corpus)
    path = standards.report_path(candidate.tag, candidate.version)
    found = read_report(objects, path)
    if found is not None:
        return found[0], path
    questions = _measure(pipeline, standards, candidate.tag, candidate.version)
    progress("evaluation", 1, 2)
    base = pipeline.log.find(candidate.base) if candidate.base in pipeline.log.versions() else None
    quarantined = pipeline.snapshots.read(candidate.snapshot).quarantined
    report = build_report(
        corpus,
        Subject(
            lance_version=candidate.version,
            candidate=candidate.tag,
            snapshot=candidate.snapshot,
            documents=candidate.documents,
            chunks=candidate.chunks,
            embedder=f"{pipeline.embedder.about['model']} ({pipeline.embedder.about['precision']})",
        ),
        standards.gold,
        questions,
        index={key: value for key, value in candidate.facts.items() if key != "poisoned_sample"},
        published=_published(pipeline, standards, candidate.version),
        problems=standards.problems(
            candidate.changes.get("removed", 0), base.documents if base else 0, candidate.facts
        ),
        warnings=_warnings(candidate, quarantined, _dead_targets(pipeline, standards.gold, candidate)),
    )
    write_report(objects, path, report, questions)
    progress("evaluation", 2, 2)
    return report, path


def _measure(pipeline: Pipeline, standards: Standards, candidate: str, version: int) -> pl.DataFrame:
    """Answers of a candidate to the gold set; asked only if they are not on record."""
    if standards.gold is None:
        return no_questions(standards.metrics)
    questions = standards.measurements.read(candidate)
    if questions is None:
        table = open_table(pipeline.objects, pipeline.corpus.name, at=version)
        if table is None:
            raise StoreUnavailable(f"{pipeline.corpus.name}: there is no table to evaluate")
        settings = type(pipeline.corpus.embedder).model_validate(read_metadata(table.schema)["embedder"])
        same = settings == pipeline.corpus.embedder
        embedder = pipeline.embedder if same else open_embedder(settings)
        search = BatchSearch(PinnedIndex(table, embedder.embed_queries))
        questions = evaluate(standards.gold, search, metrics=standards.metrics)
        standards.measurements.write(candidate, questions)
    return questions


def _published(pipeline: Pipeline, standards: Standards, version: int) -> tuple[int, pl.DataFrame] | None:
    """What is published (or was before, if the candidate is what is published), asked the same questions."""
    others = [number for number, found in pipeline.log.versions().items() if found != version]
    if not others or standards.gold is None:
        return None
    publication = pipeline.log.find(max(others))
    return publication.number, _measure(pipeline, standards, publication.candidate, publication.version)


def _dead_targets(pipeline: Pipeline, gold: GoldSet | None, candidate: Candidate) -> list[str]:
    """Documents that gold questions want and the candidate does not have, sorted."""
    wanted = {document for question in (gold.questions if gold else ()) for document in question.documents}
    rows = pipeline.snapshots.rows(pipeline.snapshots.read(candidate.snapshot), ("document_id", "status"))
    return sorted(wanted - set(rows.filter(pl.col("status") == OK)["document_id"]))


def _warnings(candidate: Candidate, quarantined: int, dead: list[str]) -> list[str]:
    found = []
    if dead:
        shown = ", ".join(dead[:5])
        found.append(
            f"Gold questions want {len(dead)} documents that are not in the corpus, such as {shown}."
        )
    if quarantined:
        found.append(f"{quarantined} documents are quarantined and cannot be found.")
    if candidate.facts.get("poisoned"):
        found.append(f"{candidate.facts['poisoned']} chunks could not be embedded and cannot be found.")
    return found
