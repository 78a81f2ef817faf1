"""Answered questions in the report, beside what the published version said."""

from __future__ import annotations

from rag_assets.evaluation.diagnosis.diagnosis import Diagnosis
from rag_assets.evaluation.report.answer_details import SHOWN_ANSWERS, AnswerDetail
from rag_assets_tests.evaluation.samples import FULL, Said, answered_report

LEASE = ("lease", "The lease ends in May.")
PETS = ("pets", "Dogs are allowed.")
CATS = ("pets", "Cats are allowed.")


def only(said: Said, published: Said | None) -> AnswerDetail:
    report, _ = answered_report({"a": said}, None if published is None else {"a": published})
    (detail,) = report.answers
    return detail


def test_what_the_published_version_said_stands_beside_it() -> None:
    detail = only(
        Said("In May.", (LEASE, PETS), FULL), Said("In June.", (PETS,), {**FULL, "faithfulness": 0.2})
    )
    assert (detail.answer, detail.score("faithfulness")) == ("In May.", 0.9)
    assert detail.published is not None
    assert (detail.published.answer, detail.published.score("faithfulness")) == ("In June.", 0.2)
    assert [context.cited for context in detail.contexts] == [True, False]
    assert [context.cited for context in detail.published.contexts] == [True]
    assert detail.published.scores[0].reason == "contextual_relevancy because"
    assert not detail.unchanged


def test_contexts_of_one_version_are_told_from_those_of_both() -> None:
    detail = only(Said("x", (LEASE, PETS), FULL), Said("x", (PETS, CATS), FULL))
    assert [context.same_as for context in detail.contexts] == [None, 1]
    assert detail.published is not None
    assert [context.same_as for context in detail.published.contexts] == [2, None]


def test_a_text_that_both_versions_have_is_in_the_report_once() -> None:
    detail = only(Said("x", (LEASE, PETS), FULL), Said("x", (PETS, CATS), FULL))
    assert detail.published is not None
    assert [context.text for context in detail.contexts] == [LEASE[1], PETS[1]]
    assert [context.text for context in detail.published.contexts] == [None, CATS[1]]


def test_the_same_answer_from_the_same_contexts_is_unchanged() -> None:
    said = Said("x", (LEASE, PETS), FULL)
    assert only(said, said).unchanged
    twice = Said("x", (LEASE, ("copy", LEASE[1])), FULL)
    assert only(twice, twice).unchanged, "a text may stand in two documents"
    for other in (
        Said("y", (LEASE, PETS), FULL),
        Said("x", (PETS, LEASE), FULL),
        Said("x", (LEASE,), FULL),
        Said("x", (LEASE, PETS), {**FULL, "faithfulness": 0.1}),
        Said("x", (LEASE, PETS)),
        None,
    ):
        assert not only(said, other).unchanged, other


def test_a_question_that_the_published_version_was_not_asked_has_no_published_answer() -> None:
    report, _ = answered_report({"a": Said("x"), "b": Said("x")}, {"a": Said("x")})
    assert {one.question_id: one.published is None for one in report.answers} == {"a": False, "b": True}


def test_failing_questions_come_first_and_then_those_that_were_answered_otherwise() -> None:
    names = ("same", "other", "failing", "same2", "silent")
    before = {name: Said("x", scores=FULL) for name in names}
    now = {**before, "other": Said("y", scores=FULL), "silent": Said(None, scores=FULL)}
    fault = Diagnosis(question_id="failing", stage="generation", evidence="bad")
    report, _ = answered_report(now, before, diagnoses=[fault])
    order = [one.question_id for one in report.answers]
    assert order == ["failing", "other", "silent", "same", "same2"]


def test_the_report_stays_small_however_many_and_long_the_answers_are() -> None:
    long = Said("x", (("a", "a" * 50_000), ("b", "b" * 50_000)), FULL, evidence="e" * 50_000)
    other = Said("x", (("a", "c" * 50_000), ("b", "d" * 50_000)), FULL, evidence="f" * 50_000)
    few = {str(number): long for number in range(SHOWN_ANSWERS + 1)}
    report, _ = answered_report(few, dict.fromkeys(few, other))
    assert len(report.answers) == SHOWN_ANSWERS
    assert len(report.model_dump_json(indent=2)) < SHOWN_ANSWERS * 20_000
