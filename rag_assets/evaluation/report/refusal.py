"""What the gate says of a version, in sentences: one answer for terminal, page, JUnit, checks and log.

``Report`` → the reasons of a refusal; or, where no rule was applied, what is lacking and the next step.
"""

from __future__ import annotations

from rag_assets.evaluation.report.regression import regressions_of
from rag_assets.evaluation.report.report import Report

SHOWN_QUESTIONS = 5
RULE = "{metric: recall@5, min: 0.9, max_drop: 0.05}"


def refusal_reasons(report: Report) -> tuple[str, ...]:
    """What failed, by how much and on which questions; then what the change removed. Empty if it was not refused."""
    if report.verdict.passed:
        return ()
    reasons = [*report.verdict.problems]
    for outcome in report.verdict.outcomes:
        if not outcome.passed:
            shown = ", ".join(outcome.questions[:SHOWN_QUESTIONS])
            rest = len(outcome.questions) - SHOWN_QUESTIONS
            more = f" and {rest} more" if rest > 0 else ""
            reasons.append(outcome.reason + (f" (questions: {shown}{more})" if shown else ""))
    return (*reasons, *report.removed)


def why_not_measured(report: Report) -> str | None:
    """What is lacking for a judgement, and the next step; None where a rule was applied or something was refused."""
    if report.gate != "not measured":
        return None
    name = report.corpus
    if report.gold_digest is None:
        return (
            f"not measured: {name} has no gold questions, so that the quality of search is unknown. Set "
            f"evaluation.gold in its corpus file, for example to {name}.gold.jsonl; then rag-assets gold propose "
            f"{name} drafts questions"
        )
    return (
        f"not measured against a rule: {name} has no gate.rules, so that no version is refused for its quality. Add "
        f"one to its corpus file, such as {RULE}; then rag-assets evaluate {name} shows what it decides"
    )


def gate_in_words(report: Report) -> str:
    """What the gate says of a version, in one line."""
    lacking = why_not_measured(report)
    if lacking is not None:
        return lacking
    worse = f", but worse than publication {report.compared_with}" if regressions_of(report) else ""
    return "refused" if report.gate == "refused" else f"passed{worse}"
