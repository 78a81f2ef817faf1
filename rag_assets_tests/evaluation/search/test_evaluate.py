"""Asking the questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rag_assets.corpus import Mode
from rag_assets.evaluation.search.evaluate import (
    KEPT_HITS,
    SCHEMA,
    SNIPPET_CHARACTERS,
    evaluate,
    no_questions,
)
from rag_assets.evaluation.search.search import Hit
from rag_assets_tests.evaluation.samples import evaluation_of, gold_of, hit, question, search_at


def test_there_is_one_row_per_question_and_mode() -> None:
    frame = evaluation_of({"a": 1, "b": 7, "c": None})
    assert frame.height == 9
    row = frame.filter(question_id="b", mode="text").row(0, named=True)
    assert (row["first_rank"], row["recall@5"], row["recall@10"], row["mrr"]) == (
        7,
        0.0,
        1.0,
        pytest.approx(1 / 7),
    )
    assert row["targets"] == [{"kind": "document", "text": "wanted", "rank": 7}]
    assert frame.filter(question_id="c")["first_rank"].null_count() == 3


def test_the_best_hits_are_kept_and_long_texts_are_cut() -> None:
    def search(questions: Sequence[str], mode: Mode, k: int) -> list[list[Hit]]:
        return [
            [hit("other"), hit("wanted", "word " * 500), *[hit(f"d{n}") for n in range(20)]]
            for _ in questions
        ]

    hits = evaluate(gold_of(question("a")).questions, search)["hits"][0].to_list()
    assert len(hits) == KEPT_HITS
    assert [kept["relevant"] for kept in hits] == [False, True, False, False, False]
    assert hits[1]["text"].endswith("…")
    assert len(hits[1]["text"]) <= SNIPPET_CHARACTERS + 1


def test_questions_go_to_the_search_together_and_deep_enough_for_every_metric() -> None:
    calls: list[tuple[int, str, int]] = []

    def search(questions: Sequence[str], mode: Mode, k: int) -> list[list[Hit]]:
        calls.append((len(questions), mode, k))
        return [[] for _ in questions]

    gold = gold_of(*(question(str(n)) for n in range(5)))
    frame = evaluate(gold.questions, search, metrics=["recall@30"], depth=20)
    assert calls == [(5, mode, 30) for mode in ("vector", "text", "hybrid")]
    assert frame["recall@30"].to_list() == [0.0] * 15


def test_metrics_that_a_rule_names_become_columns() -> None:
    frame = evaluate(gold_of(question("a")).questions, search_at({"a": 7}), metrics=["recall@7", "mrr"])
    assert frame["recall@7"].to_list() == [1.0] * 3


def test_a_search_that_answers_another_number_of_questions_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        evaluate(gold_of(question("a"), question("b")).questions, lambda questions, mode, k: [[]])


def test_an_evaluation_without_questions_has_the_same_columns() -> None:
    assert no_questions().schema == evaluation_of({"a": 1}).schema
    assert set(SCHEMA) < set(no_questions().columns)


def test_questions_that_no_document_answers_are_not_searched() -> None:
    def search(questions: Sequence[str], mode: Mode, k: int) -> list[list[Hit]]:
        raise AssertionError("nothing to search for")

    lost = replace(question("a", documents=()), answerable=False)
    assert evaluate([lost], search).equals(no_questions())
