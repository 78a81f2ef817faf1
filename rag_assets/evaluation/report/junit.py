"""The verdict as JUnit XML, which every CI system shows.

``Report`` → one test case per condition of the gate, per problem, per target that was removed, and per comparison
with the published version. What was not measured or not compared is skipped; what stopped before there was a report
is an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from rag_assets.errors import printable
from rag_assets.evaluation.report.refusal import why_not_measured
from rag_assets.evaluation.report.regression import (
    compared_in_words,
    explain,
    headline_rows,
    is_too_few,
    is_worse,
    unchecked,
)
from rag_assets.evaluation.report.report import Report
from rag_assets.evaluation.search.metrics import title_of
from rag_assets.evaluation.search.slices import describe


def junit(report: Report, *, fail_on_regression: bool, error: str | None = None) -> str:
    """The report as JUnit XML.

    Args:
        report: an evaluation.
        fail_on_regression: metrics and slices that are worse beyond noise are failures.
        error: why the evaluation does not count, as when it could not be of the present candidate.
    """
    name = report.corpus
    gate = TestSuite(f"{name}: gate")
    if error is not None:
        gate.add_testcase(_case(name, "candidate", "evaluated", Error(printable(error))))
    for problem in report.verdict.problems:
        gate.add_testcase(_case(name, "candidate", "sound", Failure(printable(problem))))
    for outcome in report.verdict.outcomes:
        rule = outcome.rule
        title = " ".join(
            part for part in (title_of(rule.metric), rule.mode, rule.tag or "", outcome.condition) if part
        )
        failed = None if outcome.passed else Failure(printable(outcome.reason))
        gate.add_testcase(_case(name, "gate", title, failed))
    lacking = why_not_measured(report)
    if lacking is not None:
        gate.add_testcase(_case(name, "gate", "measured", Skipped(printable(lacking))))
    compared = TestSuite(f"{name}: {compared_in_words(report)}")
    for case in _comparisons(report, fail_on_regression):
        compared.add_testcase(case)
    return _document([gate, compared])


def junit_error(corpus: str, error: str) -> str:
    """JUnit XML of an evaluation that stopped before there was anything to report."""
    suite = TestSuite(f"{corpus}: gate")
    suite.add_testcase(_case(corpus, "candidate", "evaluated", Error(printable(error))))
    return _document([suite])


def _comparisons(report: Report, fail_on_regression: bool) -> list[TestCase]:
    name, found = report.corpus, []
    for sentence in report.removed:
        shown = printable(sentence)
        fails = fail_on_regression or not report.verdict.passed
        found.append(_case(name, "targets", sentence, Failure(shown) if fails else Skipped(shown)))
    nothing = unchecked(report)
    if not report.comparison and nothing is not None:
        found.append(_case(name, "published", "compared", Skipped(nothing)))
    for row in headline_rows(report):
        result: FinalResult | None = None
        if is_too_few(row):
            result = Skipped(f"{row.n} questions are too few to tell")
        elif fail_on_regression and is_worse(row):
            result = Failure(printable(explain(row)))
        found.append(_case(name, "published", title_of(row.metric), result))
    if report.judged is not None and report.judged.incomparable is not None:
        failed = Failure(printable(report.judged.incomparable)) if fail_on_regression else None
        found.append(_case(name, "published", "comparable", failed))
    for part in report.slices:
        result = None
        if part.certainty in (None, "too few questions"):
            result = Skipped(f"{part.n} questions are too few, or there is nothing to compare with")
        elif fail_on_regression and part.certainty == "worse":
            result = Failure(printable(describe(part)))
        found.append(_case(name, "slices", f"{part.slice}, {title_of(part.metric)}", result))
    return found


def _case(corpus: str, group: str, name: str, result: FinalResult | None) -> TestCase:
    case = TestCase(printable(name), classname=f"{corpus}.{group}")
    if result is not None:
        case.result = [result]
    return case


def _document(suites: Sequence[TestSuite]) -> str:
    document = JUnitXml()
    for suite in suites:
        document.add_testsuite(suite)
    return str(document.tostring().decode())
