"""A tiny corpus and search results with known ranks, shared by this folder's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rag_assets.corpus import Corpus, Mode
from rag_assets.evaluation.answers.generator import Context, Task
from rag_assets.evaluation.gold import GoldSet, Question
from rag_assets.evaluation.judging.answered import Asked, answered_rows, with_answers
from rag_assets.evaluation.report.report import Judged, Report, Subject, build_report
from rag_assets.evaluation.search.evaluate import evaluate
from rag_assets.evaluation.search.measured import Measured
from rag_assets.evaluation.search.search import Hit, Search


def hit(document_id: str, text: str = "", chunk_id: str | None = None) -> Hit:
    return Hit(
        f"{document_id}#{text[:8]}" if chunk_id is None else chunk_id, document_id, text, ("Part",), 1.0
    )


def question(name: str, *, tags: tuple[str, ...] = (), documents: tuple[str, ...] = ("wanted",)) -> Question:
    return Question(name, f"What of {name}?", documents, (), None, tags)


def gold_of(*questions: Question) -> GoldSet:
    return GoldSet(questions)


def search_at(ranks: Mapping[str, int | None]) -> Search:
    """Finds the document ``wanted`` at the given rank for each question id, in every mode."""

    def search(questions: Sequence[str], mode: Mode, k: int) -> list[list[Hit]]:
        results = []
        for asked in questions:
            documents = [f"other-{place}" for place in range(1, k + 1)]
            rank = ranks[asked.removeprefix("What of ").removesuffix("?")]
            if rank is not None:
                documents[rank - 1] = "wanted"
            results.append([hit(document, f"text of {document}") for document in documents])
        return results

    return search


def evaluation_of(
    ranks: Mapping[str, int | None], tags: Mapping[str, tuple[str, ...]] | None = None
) -> pl.DataFrame:
    tagged = {} if tags is None else tags
    gold = gold_of(*(question(name, tags=tagged.get(name, ())) for name in ranks))
    return evaluate(gold.questions, search_at(ranks))


def corpus_with(rules: Sequence[Mapping[str, object]] = (), gold: str | None = "gold.jsonl") -> Corpus:
    return Corpus.model_validate(
        {
            "name": "handbook",
            "sources": [{"type": "folder", "path": "docs"}],
            "evaluation": {"gold": gold, "bootstrap_samples": 200},
            "gate": {"rules": list(rules)},
        }
    )


SUBJECT = Subject(lance_version=3, snapshot=2, documents=10, chunks=40, embedder="a model")


def report_of(
    ranks: Mapping[str, int | None],
    published: Mapping[str, int | None] | None = None,
    rules: Sequence[Mapping[str, object]] = (),
    tags: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Report, Measured]:
    measured = Measured.of(evaluation_of(ranks, tags))
    report = build_report(
        corpus_with(rules),
        SUBJECT,
        gold_of(*(question(name) for name in ranks)),
        measured,
        index={"rows": 40, "indexes": {"text": "FTS"}, "vector_recall@10": None},
        published=None if published is None else (1, Measured.of(evaluation_of(published, tags))),
    )
    return report, measured


@dataclass(frozen=True)
class Said:
    """What a version said to a question: it cites its first context, and the judge gave each metric one value.

    Without an answer it abstained; without scores it is not judged.
    """

    answer: str | None
    contexts: tuple[tuple[str, str], ...] = (("wanted", "text of wanted"),)
    scores: Mapping[str, float] | None = None
    evidence: str = "a statement"


FULL = {"contextual_relevancy": 1.0, "faithfulness": 0.9, "answer_relevancy": 0.8}
COSTS = {"prompt_tokens": 1, "completion_tokens": 1, "seconds": 0.1}


def answered_evaluation(said: Mapping[str, Said]) -> Measured:
    """Search finds everything first; what is said to the questions is given by name."""
    asked = [
        Asked(
            question(name),
            Task(
                question(name).question,
                tuple(
                    Context(f"{document}#{text[:8]}", document, "Part", text)
                    for document, text in one.contexts
                ),
            ),
        )
        for name, one in said.items()
    ]
    answers: dict[str, Mapping[str, Any]] = {}
    judgements: dict[str, Mapping[str, Any]] = {}
    for one, what in zip(asked, said.values(), strict=True):
        answer = {
            "answer": what.answer or "",
            "abstained": what.answer is None,
            "citations": [] if what.answer is None else [0],
            **COSTS,
        }
        answers[one.task.key] = answer
        if what.scores is not None:
            evidence = [{"statement": what.evidence, "holds": True}]
            scores = [
                {"metric": metric, "value": value, "reason": f"{metric} because", "evidence": evidence}
                for metric, value in what.scores.items()
            ]
            judgements[one.case(answer).key] = {"scores": scores, **COSTS}
    rows = answered_rows(asked, answers, judgements, {}, {})
    return Measured.of(with_answers(evaluation_of(dict.fromkeys(said, 1)), rows))


def answered_report(
    said: Mapping[str, Said],
    published: Mapping[str, Said] | None = None,
    rules: Sequence[Mapping[str, object]] = (),
    **more: Any,
) -> tuple[Report, Measured]:
    measured = answered_evaluation(said)
    report = build_report(
        corpus_with(rules),
        SUBJECT,
        gold_of(*(question(name) for name in said)),
        measured,
        index={},
        published=None if published is None else (1, answered_evaluation(published)),
        judged=Judged(
            generator="a generator",
            judge="a judge",
            reliability={"faithfulness": {"wice": {"auroc": 0.81, "agreement": 0.7, "cases": 174}}},
            answered=len(said),
            unanswered=0,
            unjudged=sum(one.scores is None for one in said.values()),
        ),
        **more,
    )
    return report, measured
