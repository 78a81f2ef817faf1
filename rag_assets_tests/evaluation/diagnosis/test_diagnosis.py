"""The stage at fault, decided from ranks, texts and scores alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rag_assets.evaluation.diagnosis.diagnosis import (
    Diagnosis,
    Nowhere,
    Stage,
    advice,
    diagnose,
    misled_by_vectors,
    summarize_diagnoses,
)
from rag_assets.evaluation.diagnosis.loss import DocumentTrace

FACT = "Karla charges 547 euros for the balcony every year"
CUT = ("Karla charges 547", "euros for the balcony every year")
OTHER_FACT = "Whoever owns a boat keeps it in the cellar"
LINKED = "Karla [charges](https://a.example/one/two) 547 [euros](https://a.example/three) for the balcony every year"
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
        # Pieces of what is wanted lie in the index and are found, yet no chunk holds it.
        (row([PASSAGE]), everywhere(None), {"a.md": trace(FACT, FACT, *CUT)}, "chunking"),
        (row([target("a.md", 1)], **WRONG), everywhere(1), {"a.md": trace(FACT, FACT, *CUT)}, "chunking"),
        (
            row([target("a.md", 1)], **WRONG | {"reference": "547 euros"}),
            everywhere(1),
            {"a.md": trace(FACT, FACT, *CUT)},
            "chunking",
        ),
        # The reference says it in other words.
        (
            row([target("a.md", 1)], **WRONG | {"reference": "The balcony: 547 euros"}),
            everywhere(1),
            {"a.md": trace(FACT, f"{OTHER_FACT}. {FACT}.", f"{OTHER_FACT}.", *CUT)},
            "chunking",
        ),
        # A quote of two statements may lie in two chunks: the chunker cut where it should.
        (
            row([PASSAGE | {"text": f"{FACT}. {OTHER_FACT}."}]),
            everywhere(None),
            {"a.md": trace(None, f"{FACT}. {OTHER_FACT}.", f"{FACT}.", f"{OTHER_FACT}.")},
            "retrieval",
        ),
        # Links are no cut.
        (
            row([target("a.md", 1)], **WRONG),
            everywhere(1),
            {"a.md": trace(None, LINKED, LINKED)},
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


@pytest.mark.parametrize(
    ("nowhere", "traces", "stage", "evidence"),
    [
        (Nowhere({FACT}, set()), {}, "sources", f"no document holds “{FACT}” any more"),
        (Nowhere(set(), {FACT}), {}, "gold set", f"no document holds “{FACT}”"),
        # The source still holds it: it was the parser.
        (Nowhere({FACT}, set()), {"a.md": trace(FACT, "other text")}, "parsing", "a.md holds"),
        (Nowhere(set(), set()), {}, "retrieval", "not found"),
    ],
)
def test_a_passage_that_stands_nowhere_is_not_the_fault_of_search(
    nowhere: Nowhere, traces: Mapping[str, DocumentTrace], stage: str, evidence: str
) -> None:
    found = diagnose(row([PASSAGE]), everywhere(None), traces, CONTEXTS, nowhere)
    assert found is not None and found.stage == stage and evidence in found.evidence


def test_a_heading_that_was_quoted_is_not_glued_to_what_follows() -> None:
    question = {
        "question_id": "q",
        "answerable": False,
        "abstention": 0.0,
        "answer": "Honey\n\nIn 2023\nmuch.",
    }
    found = diagnose(question, {}, {}, CONTEXTS)
    assert found is not None and "“Honey / In 2023 much.”" in found.evidence


def test_vectors_are_blamed_only_when_they_miss_many() -> None:
    blind: dict[str, int | None] = {"vector": 80, "text": 1, "hybrid": 1}
    few = {str(n): blind if n < 2 else everywhere(1) for n in range(10)}
    many = {str(n): blind if n < 4 else everywhere(1) for n in range(10)}
    assert misled_by_vectors(few, CONTEXTS) == frozenset()
    assert misled_by_vectors(many, CONTEXTS) == {"0", "1", "2", "3"}


def test_questions_that_went_right_before_decide_what_to_fix_first() -> None:
    def found(stage: Stage, new: bool) -> Diagnosis:
        return Diagnosis(question_id="q", stage=stage, evidence="", new=new)

    old = [found("generation", False)] * 5
    assert summarize_diagnoses([*old, found("chunking", False)])[0] == ("generation", 5, 0)
    changed = [found("chunking", True)] * 3 + [found("generation", True)]
    assert summarize_diagnoses(old + changed) == (("chunking", 3, 3), ("generation", 6, 1))


def test_answers_without_a_language_model_have_neither_prompt_nor_model() -> None:
    assert "prompt" in advice("generation", extractive=False)
    assert "prompt" not in advice("generation", extractive=True)
    assert advice("chunking", extractive=True) == advice("chunking", extractive=False)
