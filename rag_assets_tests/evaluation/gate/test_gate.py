"""The gate's decisions."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.corpus import Rule
from rag_assets.evaluation.gate.gate import NAMED_QUESTIONS, RuleOutcome, decide
from rag_assets.evaluation.search.evaluate import no_questions
from rag_assets_tests.evaluation.samples import evaluation_of

Ranks = Mapping[str, int | None]
HALF: Ranks = {"a": 1, "b": None}
WHOLE: Ranks = {"a": 1, "b": 1}


def rule(**fields: object) -> Rule:
    return Rule.model_validate({"metric": "recall@5"} | fields)


def outcome(a_rule: Rule, candidate: pl.DataFrame, published: pl.DataFrame | None = None) -> RuleOutcome:
    verdict = decide([a_rule], candidate, published)
    (found,) = verdict.outcomes
    assert verdict.passed == found.passed
    return found


@pytest.mark.parametrize(
    ("candidate", "published", "fields", "passed"),
    [
        (HALF, None, {"min": 0.5}, True),
        (HALF, None, {"min": 0.51}, False),
        (WHOLE, None, {"min": 1}, True),
        ({"a": None}, None, {"min": 0}, True),
        ({"a": 6}, None, {"min": 0.5}, False),
        ({"a": 6}, None, {"metric": "recall@6", "min": 0.5}, True),
        (HALF, None, {"max_drop": 0}, True),
        (HALF, {}, {"max_drop": 0}, True),
        (HALF, HALF, {"max_drop": 0}, True),
        (HALF, WHOLE, {"max_drop": 0.5}, True),
        (HALF, WHOLE, {"max_drop": 0.49}, False),
        (WHOLE, HALF, {"max_drop": 0}, True),
        # Only the questions that both have are compared, however bad the new ones are.
        ({"a": 1, "new": None}, {"a": 1}, {"max_drop": 0}, True),
        ({"a": None, "new": 1}, {"a": 1}, {"max_drop": 0.5}, False),
        # Nothing in common cannot be decided.
        ({"new": 1}, {"a": 1}, {"max_drop": 1}, False),
        # No question at all.
        ({}, None, {"min": 0}, False),
        ({}, None, {"max_drop": 1}, False),
        (WHOLE, None, {"min": 0, "tag": "nobody"}, False),
    ],
)
def test_truth_table(
    candidate: Ranks, published: Ranks | None, fields: dict[str, object], passed: bool
) -> None:
    new = evaluation_of(candidate) if candidate else no_questions()
    old = None if published is None else evaluation_of(published) if published else no_questions()
    assert outcome(rule(**fields), new, old).passed is passed


def test_a_failed_floor_says_by_how_much_and_names_the_lowest_questions() -> None:
    found = outcome(rule(metric="mrr", min=0.9), evaluation_of({"a": 1, "b": 4, "c": None}))
    assert found.value == pytest.approx(1.25 / 3)
    assert found.margin == pytest.approx(1.25 / 3 - 0.9)
    assert (found.required, found.baseline, found.n, found.questions) == (0.9, None, 3, ("c", "b"))
    assert found.reason == "MRR of hybrid search is 0.417, 0.483 below the required 0.900"


def test_a_failed_comparison_names_the_questions_that_got_worse_most_first() -> None:
    new, old = (
        evaluation_of({"a": 2, "b": None, "c": 1, "d": None}),
        evaluation_of({"a": 1, "b": 1, "c": 2, "d": None}),
    )
    found = outcome(rule(metric="mrr", max_drop=0.05), new, old)
    assert (found.value, found.baseline, found.required) == pytest.approx((0.375, 0.625, 0.575))
    assert (found.questions, found.n) == (("b", "a"), 4)
    assert (
        "published 0.625 on the same 4 questions; the drop exceeds the allowed 0.050 by 0.200" in found.reason
    )


def test_a_rule_with_both_limits_has_two_outcomes() -> None:
    verdict = decide([rule(min=0.9, max_drop=0.1)], evaluation_of(HALF), evaluation_of(HALF))
    assert [(found.condition, found.passed) for found in verdict.outcomes] == [
        ("min", False),
        ("max_drop", True),
    ]
    assert not verdict.passed


def test_with_nothing_published_a_drop_passes_and_says_so() -> None:
    found = outcome(rule(max_drop=0.0), evaluation_of(HALF))
    assert (found.passed, found.value, found.baseline) == (True, 0.5, None)
    assert found.reason == "no published evaluation to compare with"


def test_a_tag_narrows_the_questions_and_a_newly_tagged_one_keeps_its_history() -> None:
    new = evaluation_of({"a": None, "b": 1}, {"a": ("hard",)})
    assert outcome(rule(min=0.1, tag="hard"), new).questions == ("a",)
    assert not outcome(rule(max_drop=0.1, tag="hard"), new, evaluation_of(WHOLE)).passed


def test_a_question_whose_targets_were_edited_is_not_compared() -> None:
    old = evaluation_of(WHOLE).with_columns(question_key=pl.lit("other targets"))
    assert "shares no question" in outcome(rule(max_drop=1), evaluation_of(WHOLE), old).reason


def test_a_metric_that_was_not_measured_is_computed_from_the_ranks_or_fails_plainly() -> None:
    measured = evaluation_of({"a": 12, "b": 13})
    assert outcome(rule(metric="recall@12", min=0.5), measured).value == 0.5
    found = outcome(rule(metric="recall@12", min=0.0), measured.drop("targets"))
    assert found.reason == "cannot be decided: Recall@12 of hybrid search was not measured"


@pytest.mark.parametrize("broken", [float("nan"), None])
def test_a_value_that_is_no_number_does_not_pass(broken: float | None) -> None:
    new = evaluation_of(WHOLE).with_columns(pl.lit(broken, pl.Float64).alias("recall@5"))
    for a_rule in (rule(min=0.0), rule(max_drop=1.0)):
        assert not outcome(a_rule, new).passed
        assert not outcome(a_rule, new, evaluation_of(WHOLE)).passed
    assert not outcome(rule(max_drop=1.0), evaluation_of(WHOLE), new).passed


def test_without_rules_only_problems_decide() -> None:
    assert decide([], no_questions(), None).passed
    verdict = decide([], no_questions(), None, ["2 chunks are missing"])
    assert (verdict.passed, verdict.problems) == (False, ("2 chunks are missing",))


def test_a_refusal_names_a_bounded_number_of_questions() -> None:
    found = outcome(rule(min=0.5), evaluation_of({str(number): None for number in range(50)}))
    assert len(found.questions) == NAMED_QUESTIONS


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.integers(1, 30), st.none() | st.integers(1, 30), st.integers(0, 5)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["recall@3", "ndcg@10", "success@5", "mrr"]),
    st.floats(0, 1),
    st.sampled_from(["min", "max_drop"]),
)
def test_better_ranks_never_turn_a_pass_into_a_refusal(
    ranks: list[tuple[int | None, int | None, int]], metric: str, limit: float, condition: str
) -> None:
    published = evaluation_of({str(n): old for n, (old, _, _) in enumerate(ranks)})
    candidate = evaluation_of({str(n): new for n, (_, new, _) in enumerate(ranks)})
    better = evaluation_of({str(n): new and max(1, new - up) for n, (_, new, up) in enumerate(ranks)})
    a_rule = rule(metric=metric, **{condition: limit})
    assert outcome(a_rule, better, published).passed >= outcome(a_rule, candidate, published).passed
