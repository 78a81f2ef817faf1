"""The local judge: what it must tell apart, and that it is better than counting words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.agreement import auroc
from benchmarks.judges import overlap
from rag_assets.evaluation.judging.judge import Case, Judgement
from rag_assets.evaluation.judging.local import LocalJudge
from rag_assets.evaluation.judging.support import aggregated, support_model

CONTEXTS = (
    "The tenant pays 450 euros of rent on the third working day of each month.",
    "The landlord repairs the lift within ten days.",
)
QUESTION = "How much rent does the tenant pay?"
SHARED = LocalJudge()


@pytest.fixture(scope="module")
def judge() -> LocalJudge:
    return SHARED


def judged(judge: LocalJudge, answer: str | None, reference: str | None = None) -> Judgement:
    (found,) = judge.judge([Case(QUESTION, CONTEXTS, answer, reference)])
    assert isinstance(found, Judgement)
    return found


def test_a_case_gets_every_metric_that_applies_to_it_and_no_other(judge: LocalJudge) -> None:
    for answer in (None, "The tenant pays 450 euros of rent."):
        for reference in (None, "450 euros"):
            case = Case(QUESTION, CONTEXTS, answer, reference)
            assert set(judged(judge, answer, reference).scores) == set(case.metrics)


@pytest.mark.parametrize(
    "answer",
    [
        "The tenant pays 470 euros of rent.",
        "The mayor of Boston pays all taxes of the tenant.",
        "The moon is made of cheese.",
    ],
)
def test_what_is_invented_scores_lower_than_what_is_supported(judge: LocalJudge, answer: str) -> None:
    good = judged(judge, "The tenant pays 450 euros of rent.").scores["faithfulness"]
    bad = judged(judge, answer).scores["faithfulness"]
    assert good.value > 0.8
    assert bad.value < good.value - 0.2


def test_one_invented_sentence_is_named_among_supported_ones(judge: LocalJudge) -> None:
    answer = "The tenant pays 450 euros of rent. Penguins deliver the receipt by submarine."
    score = judged(judge, answer).scores["faithfulness"]
    assert [holds for _, holds in score.evidence] == [True, False]
    assert "Penguins" in score.reason


def test_contexts_that_support_the_reference_count_more_when_they_come_first(judge: LocalJudge) -> None:
    reference = "The tenant pays 450 euros of rent on the third working day."
    first, last = (
        judge.judge([Case(QUESTION, contexts, None, reference)])[0] for contexts in (CONTEXTS, CONTEXTS[::-1])
    )
    assert isinstance(first, Judgement) and isinstance(last, Judgement)
    assert first.scores["contextual_precision"].value > last.scores["contextual_precision"].value
    assert first.scores["contextual_recall"].value == last.scores["contextual_recall"].value == 1.0


MIXED = {
    "When is the rent due?": "# Rent\n\nThe rent is due on the third working day of each month. Please pay by bank "
    "transfer and give the number of your flat. Whoever pays late twice gets a letter from the office.",
    "When may hedges be cut?": "# Garden\n\nEveryone may use the lawn until ten. Charcoal is not allowed.\n\n"
    "## Hedges\n\nHedges are cut from October to February, because birds nest in them. A bed costs 25 euros a year.",
    "How much honey was there in 2023?": "# Bees\n\nTwo families keep bees on the roof. They came when the old shed "
    "was torn down.\n\n## Honey harvest\n\nIn 2023 the hives gave 96 kilograms. A jar costs seven euros.",
    "What do I do when the lift is stuck?": "# The lift\n\nThe lift carries eight people. It must not be used when there "
    "is a fire.\n\n## When it is stuck\n\nPress the yellow button for three seconds. Help comes within forty minutes.",
    "May I have a dog?": "# Pets\n\nCats need no permission. For a dog you have to ask the office. "
    "Dogs stay on the lead in the yard. Bags hang beside the gate.",
    "What does a new key cost?": "# Keys\n\nEach flat has three keys for the house.\n\n## Replacement\n\nA new key costs "
    "48 euros, because the cylinder is a protected system. Allow two weeks.",
}


@pytest.mark.parametrize("question", MIXED)
def test_of_short_chunks_on_several_subjects_the_one_that_answers_bears_on_the_question(
    judge: LocalJudge, question: str
) -> None:
    (found,) = judge.judge([Case(question, tuple(MIXED.values()), None, None)])
    assert isinstance(found, Judgement)
    evidence = found.scores["contextual_relevancy"].evidence
    assert [text for text, bears in evidence if bears] == [MIXED[question]]


@settings(max_examples=30)
@given(answer=st.text(max_size=80), contexts=st.lists(st.text(max_size=60), max_size=3))
def test_any_text_is_judged_between_zero_and_one(judge: LocalJudge, answer: str, contexts: list[str]) -> None:
    (found,) = judge.judge([Case(QUESTION, tuple(contexts), answer, answer or None)])
    assert isinstance(found, Judgement)
    assert all(0 <= score.value <= 1 for score in found.scores.values())


def test_the_measured_reliability_beats_plain_word_overlap_where_it_matters() -> None:
    measured = support_model().reliability
    assert measured["wice"]["auroc"] > 0.71 + 0.05
    assert measured["mtrag-human"]["auroc"] > 0.84 + 0.02


def test_the_worst_statement_and_the_mean_both_count() -> None:
    good, bad = np.ones(6), np.zeros(6)
    mean, worst = np.split(aggregated([good, bad], [3, 1]), 2)
    assert mean.tolist() == [0.75] * 6
    assert worst.tolist() == [0.0] * 6


@pytest.mark.slow
def test_the_shipped_weights_reach_what_they_promise(judge: LocalJudge, shared_data: Path) -> None:
    """On wice, whose contexts are the longest; the halves are those of the benchmark."""
    rows = [
        json.loads(line) for line in (shared_data / "faithfulness" / "wice.jsonl").read_text().splitlines()
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    held_out = [rows[place] for place in order][1::2]
    labels = np.array([row["label"] for row in held_out])
    scores = judge.support([Case("", (row["context"],), row["response"], None) for row in held_out])
    reached = auroc(labels, np.array([score.value for score in scores]))
    assert reached == pytest.approx(support_model().reliability["wice"]["auroc"], abs=0.02)
    assert reached > auroc(labels, np.array([overlap(row) for row in held_out])) + 0.05


@pytest.mark.parametrize(
    "answer",
    [
        "The steps are: a) open it. 2) close it.",
        "2) | 87,128 | 90,000 | (Scope 1 and 2) | - a list - 1. of marks",
        "# A heading\n\n- an item. And more\n- 3. another",
        "```\ncode. More code\n```",
    ],
)
def test_an_answer_of_any_form_is_judged(judge: LocalJudge, answer: str) -> None:
    assert set(judged(judge, answer, "2) close it.").scores) == set(
        Case(QUESTION, CONTEXTS, answer, "2) close it.").metrics
    )


@settings(max_examples=40)
@given(st.text(alphabet="ab1.) |-#:\n`*", max_size=60), st.text(alphabet="ab1.) |-#:\n", max_size=40))
def test_no_text_is_too_odd_to_be_judged(answer: str, reference: str) -> None:
    case = Case("a b?", ("a b. 1) b", "| a | b |"), answer, reference)
    (found,) = SHARED.judge([case])
    assert isinstance(found, Judgement)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("450 euros", "The tenant pays 450 euros of rent on the third working day of each month."),
        ("2019; 2018; 2017", "The years are 2019; 2018; 2017, as the table says."),
    ],
)
def test_an_answer_that_holds_the_reference_word_for_word_is_correct(
    judge: LocalJudge, reference: str, answer: str
) -> None:
    assert judged(judge, answer, reference).scores["answer_correctness"].value == 1.0


def test_marks_of_lists_and_names_of_forms_are_no_numbers(judge: LocalJudge) -> None:
    said = "The report does not compare the quarters directly."
    plain = judged(judge, said, "The report does not directly compare the quarters.")
    marked = judged(judge, said, "1. The 10-Q report does not directly compare the quarters.")
    assert marked.scores["answer_correctness"].value > 0.6 * plain.scores["answer_correctness"].value
    wrong = judged(judge, "The rent is 470 euros.", "The rent is 450 euros.")
    assert wrong.scores["answer_correctness"].value == 0.0
    grouped = judged(judge, "The rent is 1450.5 euros.", "The rent is 1,450.5 euros.")
    assert grouped.scores["answer_correctness"].value > 0.5
