"""From which similarity a text bears on a question: the local judge's relevancy against people's judgements.

retrieval sets (question, passage, relevant or not) and answers to this or to another question → similarity of the
nearest sentence → threshold on one half of each set, figures on the other. ``python -m benchmarks.relevancy DATA``
writes both into the package.
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
from rag_assets.answers.sentences import sentences
from rag_assets.answers.vectors import SentenceVectors
from rag_assets.judging.bearing import bearings

SETS = ("clapnq", "scifact", "anthropic-docs", "pubmedqa")
QUESTIONS, QUICK_QUESTIONS = 100, 10  # of a set
PASSAGES = 1_500  # of a set that are searched for near misses
NEAREST = 5
GRID = np.linspace(0.2, 0.8, 61)
FILE = Path(__file__).resolve().parents[1] / "rag_assets" / "judging" / "bearing.json"


@dataclass(frozen=True)
class Labelled:
    """Similarities of one metric and set, shape (n,), and whether people call the text relevant, shape (n,)."""

    similarity: NDArray[np.float64]
    relevant: NDArray[np.bool_]


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
        if answers:
            found["answer_relevancy"][name] = _answers(asked, answers, vectors)
    return found


def rows(setting: Setting) -> list[Row]:
    """One per metric and set, measured on the second half at the shipped threshold."""
    found: list[Row] = []
    for metric, sets in labelled(setting.data, QUICK_QUESTIONS if setting.quick else QUESTIONS).items():
        for name, one in sets.items():
            similarity, relevant = one.similarity[1::2], one.relevant[1::2]
            found.append(
                {
                    "metric": metric.replace("_", " "),
                    "set": name,
                    "cases": len(relevant),
                    "auroc": auroc(relevant, similarity),
                    "agreement": float(np.mean((similarity >= bearings()[metric].threshold) == relevant)),
                    "majority": float(max(relevant.mean(), 1 - relevant.mean())),
                }
            )
    return found


def fit(data: Path) -> None:
    """Choose each metric's threshold on the first halves, measure on the second, write both."""
    record = {}
    for metric, sets in labelled(data).items():
        threshold = max(
            GRID, key=lambda t: np.mean([_balanced(one, t, slice(0, None, 2)) for one in sets.values()])
        )
        record[metric] = {
            "threshold": round(float(threshold), 2),
            "reliability": {
                name: {
                    "auroc": round(auroc(one.relevant[1::2], one.similarity[1::2]), 3),
                    "agreement": round(
                        float(np.mean((one.similarity[1::2] >= threshold) == one.relevant[1::2])), 3
                    ),
                    "cases": len(one.relevant[1::2]),
                }
                for name, one in sets.items()
            },
        }
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


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
    for query, row in asked.items():
        nearest = [searched[place] for place in np.argsort(-(matrix @ known[row["text"]]))[:NEAREST]]
        cases += [(row["text"], passages[one], one in wanted[query]) for one in {*nearest, *wanted[query]}]
    pieces = vectors.of(one for _, text, _ in cases for one in sentences(text))
    return Labelled(
        np.array(
            [
                max(float(pieces[one] @ known[question]) for one in sentences(text))
                for question, text, _ in cases
            ]
        ),
        np.array([relevant for _, _, relevant in cases]),
    )


def _answers(asked: Mapping[str, Any], texts: Mapping[str, str], vectors: SentenceVectors) -> Labelled:
    """Statements of the reference answer to a question, and of that to the next question."""
    known = vectors.of(row["text"] for row in asked.values())
    pieces = vectors.of(one for text in texts.values() for one in sentences(text))
    similarity, relevant = [], []
    queries = list(texts)
    for place, query in enumerate(queries):
        for other, label in ((query, True), (queries[place - 1], False)):
            for statement in sentences(texts[other]):
                similarity.append(float(pieces[statement] @ known[asked[query]["text"]]))
                relevant.append(label)
    return Labelled(np.array(similarity), np.array(relevant))


def _reference(row: Mapping[str, Any]) -> str | None:
    """The reference answer of a question; None where the set has none."""
    about = row.get("metadata", {})
    answers = about.get("answers") or [about.get("answer")]
    return answers[0] or None


def _balanced(one: Labelled, threshold: float, half: slice) -> float:
    """Mean of sensitivity and specificity."""
    passed, relevant = one.similarity[half] >= threshold, one.relevant[half]
    return float(passed[relevant].mean() + (~passed[~relevant]).mean()) / 2


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
    ),
    above=(
        "Relevancy, by the local judge. Contextual: the passages that people call relevant to a question, among those "
        "that a vector search ranks highest. Of answers: statements of the reference answer, among those of the "
        "answer to another question."
    ),
)

if __name__ == "__main__":
    fit(Path(sys.argv[1]))
