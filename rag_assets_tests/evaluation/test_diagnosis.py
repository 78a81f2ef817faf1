"""The stage at fault, decided from ranks, texts and scores alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rag_assets.evaluation.diagnosis import DocumentTrace, diagnose, misled_by_vectors

FACT = "Karla charges 547 euros for the balcony every year"
CONTEXTS = 3


def target(document: str, rank: int | None) -> dict[str, Any]:
    return {"kind": "document", "text": document, "rank": rank}


def row(targets: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    ranks = [one["rank"] for one in targets if one["rank"] is not None]
    return {"question_id": "q", "targets": targets, "first_rank": min(ranks, default=None), **more}


def trace(
    source: str | None, parsed: str | None, *chunks: str, quarantined: str | None = None
) -> DocumentTrace:
    return DocumentTrace(quarantined, source, parsed, chunks)


def everywhere(rank: int | None) -> dict[str, int | None]:
    return {"vector": rank, "text": rank, "hybrid": rank}


PASSAGE = {"kind": "passage", "text": FACT, "rank": None}
WHOLE = trace(FACT, FACT, FACT)
WRONG = {"answer_correctness": 0.0, "reference": FACT, "answer": "No idea."}
OTHER = [{"document_id": "a.md", "text": "something else"}]


@pytest.mark.parametrize(
    ("question", "ranks", "traces", "stage"),
    [
        (row([target("a.md", 1)]), everywhere(1), {"a.md": WHOLE}, None),
        (row([target("a.md", None)]), everywhere(None), {"a.md": WHOLE}, "retrieval"),
        (row([target("a.md", 9)]), everywhere(9), {"a.md": WHOLE}, "ranking"),
        (
            row([target("a.md", 9)]),
            {"vector": None, "text": 1, "hybrid": 9},
            {"a.md": WHOLE},
            "embedding",
        ),
        (
            row([target("a.md", None)]),
            everywhere(None),
            {"a.md": trace(None, None, quarantined="x")},
            "parsing",
        ),
        (row([PASSAGE]), everywhere(None), {"a.md": trace(FACT, "other text")}, "parsing"),
        (row([PASSAGE]), everywhere(None), {"a.md": trace(FACT, FACT, "Karla charges")}, "chunking"),
        (row([target("a.md", 1)], **WRONG, contexts=OTHER), everywhere(1), {"a.md": WHOLE}, "generation"),
        # Four targets and three contexts: all of them full of targets is all that search can do.
        (
            row([target("a.md", 1), target("b.md", 2), target("c.md", 3), target("d.md", 4)]),
            everywhere(1),
            {},
            None,
        ),
        (row([target("a.md", 1), target("b.md", 9)]), everywhere(1), {}, "ranking"),
        # The document is found by one of its chunks, another holds the answer.
        (
            row([target("a.md", 1)], **WRONG, contextual_recall=0.0, contexts=OTHER),
            everywhere(1),
            {"a.md": trace(FACT, f"something else {FACT}", "something else", FACT)},
            "ranking",
        ),
        (
            row([target("a.md", 1)], **WRONG, contextual_recall=1.0, contexts=OTHER),
            everywhere(1),
            {"a.md": trace(FACT, f"something else {FACT}", "something else", FACT)},
            "generation",
        ),
        ({"question_id": "q", "answerable": False, "abstention": 0.0, "answer": "x"}, {}, {}, "generation"),
        ({"question_id": "q", "answerable": False, "abstention": 1.0}, {}, {}, None),
    ],
)
def test_the_first_stage_that_lost_the_answer_is_named(
    question: Mapping[str, Any],
    ranks: Mapping[str, int | None],
    traces: Mapping[str, DocumentTrace],
    stage: str | None,
) -> None:
    found = diagnose(question, ranks, traces, CONTEXTS)
    assert (found.stage if found else None) == stage


def test_vectors_are_blamed_only_when_they_miss_many() -> None:
    blind: dict[str, int | None] = {"vector": 80, "text": 1, "hybrid": 1}
    few = {str(n): blind if n < 2 else everywhere(1) for n in range(10)}
    many = {str(n): blind if n < 4 else everywhere(1) for n in range(10)}
    assert misled_by_vectors(few, CONTEXTS) == frozenset()
    assert misled_by_vectors(many, CONTEXTS) == {"0", "1", "2", "3"}
