"""Evaluate a candidate: ask the gold questions, compare with what is published, decide, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.embedding.embedder import Embedder
from rag_assets.embedding.open import open_embedder
from rag_assets.errors import StoreUnavailable
from rag_assets.evaluation.evaluate import evaluate, no_questions
from rag_assets.evaluation.files import read_report, write_report
from rag_assets.evaluation.gold import GoldSet, load_gold
from rag_assets.evaluation.measurements import Measurements
from rag_assets.evaluation.report import Report, Subject, build_report
from rag_assets.index.candidate import Candidate
from rag_assets.index.schema import read_metadata
from rag_assets.index.search import BatchSearch, PinnedIndex
from rag_assets.index.table import open_table
from rag_assets.pipeline.progress import Progress
from rag_assets.store.digest import fingerprint
from rag_assets.store.snapshots import OK, SnapshotStore

if TYPE_CHECKING:
    from rag_assets.pipeline.pipeline import Pipeline


def evaluate_candidate(pipeline: Pipeline, candidate: Candidate, progress: Progress) -> tuple[Report, str]:
    """The report on a candidate and its path in the store; one that is there already is not made again."""
    corpus, objects = pipeline.corpus, pipeline.objects
    gold = None if corpus.gold_path is None else load_gold(corpus.gold_path)
    metrics = [rule.metric for rule in corpus.gate.rules]
    measurements = Measurements(objects, corpus.name, gold.digest if gold else None, metrics)
    rules = {
        "gate": corpus.gate.model_dump(mode="json"),
        "evaluation": corpus.evaluation.model_dump(mode="json", exclude={"gold"}),
        "min_recall": corpus.index.vector.min_recall,
        "measurement": measurements.key,
    }
    path = f"corpora/{corpus.name}/reports/{candidate.version:010d}-{fingerprint(rules)[:12]}"
    found = read_report(objects, path)
    if found is not None:
        return found[0], path
    questions = _measure(pipeline, gold, measurements, metrics, candidate.version, pipeline.embedder)
    progress("evaluation", 1, 2)
    published = _published(pipeline, gold, measurements, metrics, candidate.version)
    quarantined = SnapshotStore(objects, corpus.name).read(candidate.snapshot).quarantined
    report = build_report(
        corpus,
        Subject(
            lance_version=candidate.version,
            snapshot=candidate.snapshot,
            documents=candidate.documents,
            chunks=candidate.chunks,
            embedder=f"{pipeline.embedder.about['model']} ({pipeline.embedder.about['precision']})",
        ),
        gold,
        questions,
        index={key: value for key, value in candidate.facts.items() if key != "poisoned_sample"},
        published=published,
        problems=_problems(corpus, candidate, _base_documents(pipeline, candidate)),
        warnings=_warnings(candidate, quarantined, _dead_targets(pipeline, gold, candidate)),
    )
    write_report(objects, path, report, questions)
    progress("evaluation", 2, 2)
    return report, path


def _measure(
    pipeline: Pipeline,
    gold: GoldSet | None,
    measurements: Measurements,
    metrics: list[str],
    version: int,
    embedder: Embedder,
) -> pl.DataFrame:
    """Answers of a version to the gold set; asked only if they are not on record."""
    if gold is None:
        return no_questions(metrics)
    questions = measurements.read(version)
    if questions is None:
        table = open_table(pipeline.objects, pipeline.corpus.name, at=version)
        if table is None:
            raise StoreUnavailable(f"{pipeline.corpus.name}: there is no table to evaluate")
        search = BatchSearch(PinnedIndex(table, embedder.embed_queries))
        questions = evaluate(gold, search, metrics=metrics)
        measurements.write(version, questions)
    return questions


def _published(
    pipeline: Pipeline, gold: GoldSet | None, measurements: Measurements, metrics: list[str], version: int
) -> tuple[int, pl.DataFrame] | None:
    """What is published (or was before, if the candidate is what is published), asked the same questions."""
    others = {number: found for number, found in pipeline.log.versions().items() if found != version}
    if not others or gold is None:
        return None
    number = max(others)
    table = open_table(pipeline.objects, pipeline.corpus.name, at=others[number])
    if table is None:
        return None
    settings = type(pipeline.corpus.embedder).model_validate(read_metadata(table.schema)["embedder"])
    same = settings == pipeline.corpus.embedder
    embedder = pipeline.embedder if same else open_embedder(settings)
    return number, _measure(pipeline, gold, measurements, metrics, others[number], embedder)


def _problems(corpus: Corpus, candidate: Candidate, published: int) -> list[str]:
    """What is wrong with the candidate apart from its search quality. ``published``: documents of its base."""
    found = []
    removed, allowed = candidate.changes.get("removed", 0), corpus.gate.max_removed_share
    if removed > allowed * published:
        found.append(
            f"{removed} of {published} published documents would be removed; gate.max_removed_share allows {allowed:.0%}"
        )
    recall, least = candidate.facts.get("vector_recall@10"), corpus.index.vector.min_recall
    if recall is not None and recall < least:
        found.append(
            f"recall@10 of the vector index against exact search is {recall:.3f}; at least {least:.3f} is required"
        )
    return found


def _base_documents(pipeline: Pipeline, candidate: Candidate) -> int:
    return pipeline.log.find(candidate.base).documents if candidate.base in pipeline.log.versions() else 0


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
