"""The gate: may this candidate be published?

Rules of the corpus file + evaluations of candidate and published version → ``Verdict``. A pure
function: no store, no clock. What cannot be decided does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from rag_assets.corpus import Rule
from rag_assets.evaluation.metrics import compute, title_of
from rag_assets.evaluation.summary import pair

NAMED_QUESTIONS = 20
"""Questions that a refusal names, at most."""
# A mean of floats may miss the bound it equals by rounding.
_TOLERANCE = 1e-9


class RuleOutcome(BaseModel):
    """One condition of a rule and how the candidate met it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Rule
    condition: Literal["min", "max_drop"]
    passed: bool
    value: float | None
    """The candidate's mean; for max_drop over the questions that both versions answered."""
    required: float | None
    """The least value that passes; for max_drop the published mean minus the allowed drop."""
    baseline: float | None
    """The published version's mean on the same questions; max_drop only."""
    margin: float | None
    """value - required: negative by how much the rule failed."""
    n: int
    """Questions that were compared."""
    questions: tuple[str, ...]
    """Ids of the questions that made it fail, worst first."""
    reason: str


class Verdict(BaseModel):
    """Passed only if every outcome passed and there is no problem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    outcomes: tuple[RuleOutcome, ...]
    problems: tuple[str, ...] = ()
    """What verification of the candidate found wrong, apart from search quality."""


def decide(
    rules: Sequence[Rule],
    candidate: pl.DataFrame,
    published: pl.DataFrame | None,
    problems: Sequence[str] = (),
) -> Verdict:
    """Judge a candidate.

    Args:
        rules: all must hold; without rules only ``problems`` decide.
        candidate: its evaluation, one row per question and mode.
        published: the published version's evaluation, or None when there is none to compare with.
        problems: what structural checks found wrong; any of them fails the candidate.

    Returns:
        One outcome for each ``min`` and each ``max_drop`` of the rules, in their order.
    """
    outcomes: list[RuleOutcome] = []
    for rule in rules:
        if rule.min is not None:
            outcomes.append(_floor(rule, rule.min, candidate))
        if rule.max_drop is not None:
            outcomes.append(_drop(rule, rule.max_drop, candidate, published))
    passed = not problems and all(outcome.passed for outcome in outcomes)
    return Verdict(passed=passed, outcomes=tuple(outcomes), problems=tuple(problems))


def _floor(rule: Rule, required: float, candidate: pl.DataFrame) -> RuleOutcome:
    part = _measured(rule, candidate)
    if isinstance(part, str):
        return _undecided(rule, "min", part, required=required)
    value = _mean(part["value"])
    if not math.isfinite(value):
        return _undecided(rule, "min", f"{_title(rule)} is not a number", required=required, n=len(part))
    passed = value >= required - _TOLERANCE
    lowest = part.filter(pl.col("value") < 1).sort("value", "question_id")["question_id"]
    if passed:
        reason = f"{_title(rule)} is {value:.3f}; at least {required:.3f} is required"
    else:
        reason = f"{_title(rule)} is {value:.3f}, {required - value:.3f} below the required {required:.3f}"
    return RuleOutcome(
        rule=rule,
        condition="min",
        passed=passed,
        value=value,
        required=required,
        baseline=None,
        margin=value - required,
        n=len(part),
        questions=() if passed else tuple(lowest.head(NAMED_QUESTIONS)),
        reason=reason,
    )


def _drop(rule: Rule, allowed: float, candidate: pl.DataFrame, published: pl.DataFrame | None) -> RuleOutcome:
    part = _measured(rule, candidate)
    if isinstance(part, str):
        return _undecided(rule, "max_drop", part)
    found = _mean(part["value"])
    if not math.isfinite(found):
        return _undecided(rule, "max_drop", f"{_title(rule)} is not a number", n=len(part))
    if published is None or published.is_empty():
        return _nothing_to_compare(rule, found, len(part))
    # Tags are the candidate's: a question that was tagged since then still has its old result.
    before = _measured(rule.model_copy(update={"tag": None}), published)
    if isinstance(before, str):
        return _undecided(rule, "max_drop", f"in the published version's evaluation, {before}")
    both = pair(part, before, ["value"])
    if both.is_empty():
        reason = "the published version's evaluation shares no question with this one; ask it these questions"
        return _undecided(rule, "max_drop", reason)
    value, baseline = _mean(both["value"]), _mean(both["value_published"])
    if not math.isfinite(baseline):
        reason = f"{_title(rule)} is not a number in the published version's evaluation"
        return _undecided(rule, "max_drop", reason, n=len(both))
    required = baseline - allowed
    passed = value >= required - _TOLERANCE
    worse = (
        both.with_columns(delta=pl.col("value") - pl.col("value_published"))
        .filter(pl.col("delta") < -_TOLERANCE)
        .sort("delta", "question_id")["question_id"]
    )
    reason = f"{_title(rule)} is {value:.3f}, published {baseline:.3f} on the same {len(both)} questions; "
    if passed:
        reason += f"a drop of {allowed:.3f} is allowed"
    else:
        reason += f"the drop exceeds the allowed {allowed:.3f} by {required - value:.3f}"
    return RuleOutcome(
        rule=rule,
        condition="max_drop",
        passed=passed,
        value=value,
        required=required,
        baseline=baseline,
        margin=value - required,
        n=len(both),
        questions=() if passed else tuple(worse.head(NAMED_QUESTIONS)),
        reason=reason,
    )


def _measured(rule: Rule, questions: pl.DataFrame) -> pl.DataFrame | str:
    """The rule's questions with its metric as ``value``, or why there are none."""
    part = questions.filter(pl.col("mode") == rule.mode)
    if rule.tag is not None:
        part = part.filter(pl.col("tags").list.contains(rule.tag))
    if part.is_empty():
        tagged = "" if rule.tag is None else f" with the tag {rule.tag!r}"
        return f"there is no question{tagged} to measure {title_of(rule.metric)} of {rule.mode} search on"
    if rule.metric in part.columns:
        value = part[rule.metric]
    elif "targets" in part.columns:
        # An evaluation made before the rule was written: the ranks that it kept give any metric.
        value = compute(part["targets"].list.eval(pl.element().struct.field("rank")), [rule.metric])[
            rule.metric
        ]
    else:
        return f"{title_of(rule.metric)} of {rule.mode} search was not measured"
    return part.select("question_id", "question_key", "mode", value.alias("value"))


def _mean(values: pl.Series) -> float:
    return float("nan") if values.null_count() else float(values.to_numpy().mean())


def _title(rule: Rule) -> str:
    return f"{title_of(rule.metric)} of {rule.mode} search" + (
        "" if rule.tag is None else f" for {rule.tag!r}"
    )


def _nothing_to_compare(rule: Rule, value: float, n: int) -> RuleOutcome:
    return RuleOutcome(
        rule=rule,
        condition="max_drop",
        passed=True,
        value=value,
        required=None,
        baseline=None,
        margin=None,
        n=n,
        questions=(),
        reason="no published evaluation to compare with",
    )


def _undecided(
    rule: Rule,
    condition: Literal["min", "max_drop"],
    reason: str,
    *,
    required: float | None = None,
    n: int = 0,
) -> RuleOutcome:
    return RuleOutcome(
        rule=rule,
        condition=condition,
        passed=False,
        value=None,
        required=required,
        baseline=None,
        margin=None,
        n=n,
        questions=(),
        reason=f"cannot be decided: {reason}",
    )
