"""The verdict as JUnit XML, which every CI system shows.

``Report`` → one test case per condition of the gate, per problem, and per comparison with the
published version.
"""

from __future__ import annotations

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from rag_assets.errors import printable
from rag_assets.evaluation.certainty import LEAST_QUESTIONS
from rag_assets.evaluation.details import HEADLINE_MODE
from rag_assets.evaluation.metrics import title_of
from rag_assets.evaluation.report import Report
from rag_assets.evaluation.slices import describe
from rag_assets.evaluation.summary import ComparisonRow


def junit(report: Report, *, fail_on_regression: bool) -> str:
    """The report as JUnit XML.

    Args:
        report: an evaluation.
        fail_on_regression: metrics and slices that are worse beyond noise are failures.
    """
    gate = TestSuite(f"{report.corpus}: gate")
    for problem in report.verdict.problems:
        gate.add_testcase(_case(report, "candidate", "sound", problem))
    for outcome in report.verdict.outcomes:
        rule = outcome.rule
        name = " ".join(
            part for part in (title_of(rule.metric), rule.mode, rule.tag or "", outcome.condition) if part
        )
        gate.add_testcase(_case(report, "gate", name, None if outcome.passed else outcome.reason))
    compared = TestSuite(f"{report.corpus}: against publication {report.compared_with or 'none'}")
    for row in report.comparison:
        if row.mode == HEADLINE_MODE:
            worse = fail_on_regression and _worse(row)
            compared.add_testcase(
                _case(report, "published", title_of(row.metric), explain(row) if worse else None)
            )
    if report.judged is not None and report.judged.incomparable is not None:
        said = report.judged.incomparable if fail_on_regression else None
        compared.add_testcase(_case(report, "published", "comparable", said))
    for part in report.slices:
        case = _case(
            report,
            "slices",
            f"{part.slice}, {title_of(part.metric)}",
            describe(part) if fail_on_regression and part.certainty == "worse" else None,
        )
        if part.certainty in (None, "too few questions"):
            case.result = [Skipped(f"{part.n} questions are too few, or there is nothing to compare with")]
        compared.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(gate)
    document.add_testsuite(compared)
    return str(document.tostring().decode())


def regressions_of(report: Report) -> list[str]:
    """Metrics and slices that are worse than published beyond noise, or that nobody can compare, in sentences."""
    worse = [explain(row) for row in report.comparison if row.mode == HEADLINE_MODE and _worse(row)]
    if report.judged is not None and report.judged.incomparable is not None:
        worse.append(report.judged.incomparable)
    return worse + [describe(row) for row in report.slices if row.certainty == "worse"]


def _worse(row: ComparisonRow) -> bool:
    return row.n >= LEAST_QUESTIONS and row.high < 0


def explain(row: ComparisonRow) -> str:
    """A comparison in one sentence."""
    return (
        f"{title_of(row.metric)} fell from {row.published:.3f} to {row.candidate:.3f} on {row.n} questions "
        f"(difference between {row.low:+.3f} and {row.high:+.3f})"
    )


def _case(report: Report, group: str, name: str, problem: str | None) -> TestCase:
    case = TestCase(printable(name), classname=f"{report.corpus}.{group}")
    if problem is not None:
        case.result = [Failure(printable(problem))]
    return case
