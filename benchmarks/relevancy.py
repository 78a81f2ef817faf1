"""Which text bears on a question: the local judge's relevancy against people's judgements.

retrieval sets (question, passage, relevant or not) and answers to this or to another question → similarity of the
nearest sentence, share of the question's words → weight and threshold on one half of each set's questions, figures on
the other. ``python -m benchmarks.relevancy DATA`` writes both into the package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.agreement import auroc
from benchmarks.table import Column, Row, Setting, Table
from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.evaluation.answers.vectors import SentenceVectors
from rag_assets.evaluation.judging.bearing import Bearing, bearings, shared_words

SETS = ("clapnq", "scifact", "anthropic-docs", "pubmedqa", "squad")
SPANS = ("squad",)  # sets whose answers are a word or two: no statements that could bear on anything
QUESTIONS, QUICK_QUESTIONS = 100, 10  # of a set
PASSAGES = 1_500  # of a set that are searched for near misses
NEAREST = 5
WEIGHTS = {
    "contextual_relevancy": np.linspace(0, 1.5, 31),
    # A statement that answers need not repeat the question: any weight was worse on the other halves.
    "answer_relevancy": np.zeros(1),
}
THRESHOLDS = np.linspace(0.2, 2.0, 181)
FILE = Path(__file__).resolve().parents[1] / "rag_assets" / "evaluation" / "judging" / "bearing.json"


@dataclass(frozen=True)
class Labelled:
    """Cases of one metric and set; all of shape (n,).

    Attributes:
        similarity: of the question and the nearest sentence.
        shared: share of the question's words.
        relevant: whether people call the text relevant.
        chosen: whether it is of the half on which weight and threshold are chosen: every other question with all of
            its passages, every other statement of the answers.
    """

    similarity: NDArray[np.float64]
    shared: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    chosen: NDArray[np.bool_]

    def score(self, weight: float) -> NDArray[np.float64]:
        """What is held against the threshold."""
        return self.similarity + weight * self.shared

    def half(self, chosen: bool) -> Labelled:
        """The half for choosing, or the other."""
        part = self.chosen == chosen
        return Labelled(self.similarity[part], self.shared[part], self.relevant[part], self.chosen[part])


def labelled(data: Path, most: int = QUESTIONS) -> dict[str, dict[str, Labelled]]:
    """By metric and set."""
    vectors = SentenceVectors()
    found: dict[str, dict[str, Labelled]] = {"contextual_relevancy": {}, "answer_relevancy": {}}
    for name in SETS:
        folder = data / "retrieval" / name
        passages = {
            row["_id"]: f"{row.get('title') or ''}\n\n{row['text']}" for row in _rows(folder / "corpus.jsonl")
        }
        questions = {row["_id"]: row for row in _rows(folder / "queries.jsonl")}
        wanted: dict[str, set[str]] = {}
        for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines():
            query, passage, grade = line.split("\t")
            if query in questions and grade != "0":
                wanted.setdefault(query, set()).add(passage)
        order = np.random.default_rng(0).permutation(sorted(wanted))[:most]
        asked = {str(query): questions[str(query)] for query in order}
        found["contextual_relevancy"][name] = _contexts(asked, wanted, passages, vectors)
        answers = {query: answer for query, row in asked.items() if (answer := _reference(row)) is not None}
        if answers and name not in SPANS:
            found["answer_relevancy"][name] = _answers(asked, answers, vectors)
    return found


def rows(setting: Setting) -> list[Row]:
    """One per metric and set, measured on the second half with the shipped weight and threshold."""
    found: list[Row] = []
    for metric, sets in labelled(setting.data, QUICK_QUESTIONS if setting.quick else QUESTIONS).items():
        for name, one in sets.items():
            other = one.half(False)
            found.append(
                {
                    "metric": metric.replace("_", " "),
                    "set": name,
                    **_measured(other, bearings()[metric]),
                    "majority": float(max(other.relevant.mean(), 1 - other.relevant.mean())),
                }
            )
    return found


def fit(data: Path) -> None:
    """Choose each metric's weight and threshold on the first halves, measure on the second, write both."""
    record = {metric: fitted(sets, WEIGHTS[metric]) for metric, sets in labelled(data).items()}
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def fitted(sets: Mapping[str, Labelled], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Weight, threshold and what they reach; every set counts the same, whatever its size."""
    chosen = [one.half(True) for one in sets.values()]
    weight = max(weights, key=lambda w: np.mean([auroc(one.relevant, one.score(w)) for one in chosen]))
    threshold = max(THRESHOLDS, key=lambda t: np.mean([_balanced(one, weight, t) for one in chosen]))
    model = Bearing(round(float(weight), 2), round(float(threshold), 2), {})
    measured = {name: _measured(one.half(False), model) for name, one in sets.items()}
    return {
        "words": model.words,
        "threshold": model.threshold,
        "reliability": {
            name: {key: value if isinstance(value, int) else round(value, 3) for key, value in found.items()}
            for name, found in measured.items()
        },
    }


def _measured(one: Labelled, model: Bearing) -> dict[str, float | int]:
    score = one.score(model.words)
    return {
        "auroc": auroc(one.relevant, score),
        "agreement": float(np.mean((score >= model.threshold) == one.relevant)),
        "balanced": _balanced(one, model.words, model.threshold),
        "cases": len(one.relevant),
    }


def _contexts(
    asked: Mapping[str, Any],
    wanted: Mapping[str, set[str]],
    passages: Mapping[str, str],
    vectors: SentenceVectors,
) -> Labelled:
    """Relevant passages, and the nearest ones of the others: what a search brings."""
    searched = list(
        dict.fromkeys([*list(passages)[:PASSAGES], *(one for query in asked for one in wanted[query])])
    )
    known = vectors.of([*(passages[one] for one in searched), *(row["text"] for row in asked.values())])
    matrix = np.stack([known[passages[one]] for one in searched])
    cases = []
    for place, (query, row) in enumerate(asked.items()):
        nearest = [searched[place] for place in np.argsort(-(matrix @ known[row["text"]]))[:NEAREST]]
        for one in dict.fromkeys([*nearest, *sorted(wanted[query])]):
            cases.append((row["text"], passages[one], one in wanted[query], place % 2 == 0))
    pieces = vectors.of(one for _, text, *_ in cases for one in sentences(text))
    return Labelled(
        np.array(
            [
                max(float(pieces[one] @ known[question]) for one in sentences(text))
                for question, text, *_ in cases
            ]
        ),
        np.array([shared_words(question, text) for question, text, *_ in cases]),
        np.array([relevant for _, _, relevant, _ in cases]),
        np.array([chosen for *_, chosen in cases]),
    )


def _answers(asked: Mapping[str, Any], texts: Mapping[str, str], vectors: SentenceVectors) -> Labelled:
    """Statements of the reference answer to a question, and of that to the next question."""
    known = vectors.of(row["text"] for row in asked.values())
    pieces = vectors.of(one for text in texts.values() for one in sentences(text))
    cases = []
    queries = list(texts)
    for place, query in enumerate(queries):
        question = asked[query]["text"]
        for other, label in ((query, True), (queries[place - 1], False)):
            for statement in sentences(texts[other]):
                similarity = float(pieces[statement] @ known[question])
                cases.append((similarity, shared_words(question, statement), label, len(cases) % 2 == 0))
    similarities, shared, relevant, chosen = (np.array(column) for column in zip(*cases, strict=True))
    return Labelled(similarities, shared, relevant, chosen)


def _reference(row: Mapping[str, Any]) -> str | None:
    """The reference answer of a question; None where the set has none."""
    about = row.get("metadata", {})
    answers = about.get("answers") or [about.get("answer")]
    return answers[0] or None


def _balanced(one: Labelled, weight: float, threshold: float) -> float:
    """Mean of sensitivity and specificity."""
    passed = one.score(weight) >= threshold
    return float(passed[one.relevant].mean() + (~passed[~one.relevant]).mean()) / 2


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


TABLE = Table(
    "relevancy",
    (
        Column("metric", "metric"),
        Column("set", "set"),
        Column("cases", "cases", ","),
        Column("auroc", "AUROC", ".3f"),
        Column("agreement", "agreement at the threshold", ".3f"),
        Column("majority", "largest class", ".3f"),
        Column("balanced", "balanced", ".3f"),
    ),
    above=(
        "Relevancy, by the local judge. Contextual: the passages that people call relevant to a question, among those "
        "that a vector search ranks highest. Of answers: statements of the reference answer, among those of the "
        "answer to another question. Agreement rewards saying “no” where most passages are near misses; balanced is the "
        "mean of the shares of relevant and of other texts that were told rightly."
    ),
)

if __name__ == "__main__":
    fit(Path(sys.argv[1]))
