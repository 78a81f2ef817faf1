"""The gate: may this candidate be published?

Rules of the corpus file + evaluations of candidate and published version → ``Verdict``. A pure
function: no store, no clock. What cannot be decided does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from rag_assets.corpus import ANSWER_METRICS, Rule
from rag_assets.evaluation.gate.targets import comparable
from rag_assets.evaluation.judging.answered import MODE as ANSWERS_MODE
from rag_assets.evaluation.search.certainty import Certainty, certainty, questions_to_see
from rag_assets.evaluation.search.metrics import compute, title_of
from rag_assets.evaluation.search.summary import pair

SAMPLES = 2000
"""Resamples behind a rule's interval."""
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
    low: float | None = None
    """Of the difference to the published version, with ``high`` its 95 % interval; max_drop only."""
    high: float | None = None
    certainty: Certainty | None = None
    """Whether the difference is more than chance; max_drop only."""
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
    max_unjudged_share: float = 0.0,
    restored: Collection[str] = (),
) -> Verdict:
    """Judge a candidate.

    Args:
        rules: all must hold; without rules only ``problems`` decide.
        candidate: its evaluation, one row per question and mode.
        published: the published version's evaluation, or None when there is none to compare with.
        problems: what structural checks found wrong; any of them fails the candidate.
        max_unjudged_share: share of questions without a judgement above which no rule on answers passes.
        restored: ids of questions that the published version could not meet, since it lacks what they want. A rule
            on nothing but these has nothing to compare with, and its ``max_drop`` passes.

    Returns:
        One outcome for each ``min`` and each ``max_drop`` of the rules, in their order.
    """
    outcomes: list[RuleOutcome] = []
    if published is not None:
        published = comparable(candidate, published, restored)
    for rule in rules:
        undecidable = _unjudged(rule, _asked(rule, candidate), max_unjudged_share)
        if undecidable is not None:
            outcomes.append(_undecided(rule, "min" if rule.min is not None else "max_drop", undecidable))
            continue
        if rule.min is not None:
            outcomes.append(_floor(rule, rule.min, candidate))
        if rule.max_drop is not None:
            outcomes.append(_drop(rule, rule.max_drop, candidate, published, max_unjudged_share, restored))
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


def _drop(
    rule: Rule,
    allowed: float,
    candidate: pl.DataFrame,
    published: pl.DataFrame | None,
    max_unjudged_share: float,
    restored: Collection[str],
) -> RuleOutcome:
    part = _measured(rule, candidate)
    if isinstance(part, str):
        return _undecided(rule, "max_drop", part)
    found = _mean(part["value"])
    if not math.isfinite(found):
        return _undecided(rule, "max_drop", f"{_title(rule)} is not a number", n=len(part))
    if published is None or published.is_empty() or part["question_id"].is_in(list(restored)).all():
        return _nothing_to_compare(rule, found, len(part))
    # Tags are the candidate's: a question that was tagged since then still has its old result.
    keys = _asked(rule, candidate)["question_key"]
    theirs = published.filter(pl.col("mode") == _mode(rule), pl.col("question_key").is_in(keys.implode()))
    undecidable = _unjudged(rule, theirs, max_unjudged_share)
    if undecidable is not None:
        return _undecided(rule, "max_drop", f"in the published version's evaluation, {undecidable}")
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
    deltas = (both["value"] - both["value_published"]).to_numpy()
    says, low, high = certainty(deltas, SAMPLES)
    dropped = value < required - _TOLERANCE
    passed = not dropped or (rule.noise == "pass" and says == "noise")
    worse = (
        both.with_columns(delta=pl.col("value") - pl.col("value_published"))
        .filter(pl.col("delta") < -_TOLERANCE)
        .sort("delta", "question_id")["question_id"]
    )
    reason = f"{_title(rule)} is {value:.3f}, published {baseline:.3f} on the same {len(both)} questions; "
    if not dropped:
        reason += f"a drop of {allowed:.3f} is allowed"
    else:
        reason += f"the drop exceeds the allowed {allowed:.3f} by {required - value:.3f}"
    reason += _in_doubt(deltas, allowed, dropped, says, low, high)
    return RuleOutcome(
        rule=rule,
        condition="max_drop",
        passed=passed,
        value=value,
        required=required,
        baseline=baseline,
        margin=value - required,
        low=low,
        high=high,
        certainty=says,
        n=len(both),
        questions=() if passed else tuple(worse.head(NAMED_QUESTIONS)),
        reason=reason,
    )


def _in_doubt(
    deltas: npt.NDArray[np.float64], allowed: float, dropped: bool, says: Certainty, low: float, high: float
) -> str:
    """What the gold set is too small to tell, as the end of a sentence; empty when there is no doubt."""
    if dropped and says == "noise":
        needed = questions_to_see(abs(float(deltas.mean())), deltas)
        return (
            f". It may be chance: the difference lies between {low:+.3f} and {high:+.3f}; about {needed} questions "
            "would tell"
        )
    if dropped and says == "too few questions":
        return f". {len(deltas)} questions are too few to tell a drop from chance"
    if not dropped and allowed > 0 and low < -allowed and says != "better":
        needed = questions_to_see(allowed, deltas)
        return f". {len(deltas)} questions cannot rule out a larger one; about {needed} could"
    return ""


def _asked(rule: Rule, questions: pl.DataFrame) -> pl.DataFrame:
    """The questions that a rule is about, judged or not."""
    part = questions.filter(pl.col("mode") == _mode(rule))
    return part if rule.tag is None else part.filter(pl.col("tags").list.contains(rule.tag))


def _measured(rule: Rule, questions: pl.DataFrame) -> pl.DataFrame | str:
    """The rule's questions with its metric as ``value``, or why there are none."""
    part = _asked(rule, questions)
    if part.is_empty():
        tagged = "" if rule.tag is None else f" with the tag {rule.tag!r}"
        return f"there is no question{tagged} to measure {_name(rule)} on"
    if rule.metric in part.columns:
        value = part[rule.metric]
    elif rule.metric not in ANSWER_METRICS and "targets" in part.columns:
        # An evaluation made before the rule was written: the ranks that it kept give any metric.
        value = compute(part["targets"].list.eval(pl.element().struct.field("rank")), [rule.metric])[
            rule.metric
        ]
    else:
        return f"{_name(rule)} was not measured"
    found = part.select("question_id", "question_key", "mode", value.alias("value"))
    # Null is where a metric does not apply: search for a question that no document answers, for one.
    applies = found.filter(pl.col("value").is_not_null())
    return applies if applies.height else f"there is no question on which {_name(rule)} can be measured"


def _unjudged(rule: Rule, part: pl.DataFrame, allowed: float) -> str | None:
    """Why a rule on answers cannot be decided: too many of its questions have no answer or no judgement."""
    if rule.metric not in ANSWER_METRICS or "unanswered" not in part.columns:
        return None
    reasons = part.select(pl.coalesce("unanswered", "unjudged")).to_series().drop_nulls()
    if reasons.len() <= allowed * part.height:
        return None
    return (
        f"{reasons.len()} of {part.height} questions are not judged ({reasons[0]}); "
        f"evaluation.answers.max_unjudged_share allows {allowed:.0%}. Run again: only they are tried again"
    )


def _mode(rule: Rule) -> str:
    return ANSWERS_MODE if rule.metric in ANSWER_METRICS else rule.mode


def _name(rule: Rule) -> str:
    if rule.metric in ANSWER_METRICS:
        return title_of(rule.metric)
    return f"{title_of(rule.metric)} of {rule.mode} search"


def _mean(values: pl.Series) -> float:
    return float("nan") if values.null_count() else float(values.to_numpy().mean())


def _title(rule: Rule) -> str:
    return _name(rule) + ("" if rule.tag is None else f" for {rule.tag!r}")


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
