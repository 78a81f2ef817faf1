"""The page is one file that needs nothing else, and says what was found."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from rag_assets.quality.page import render_page
from rag_assets.quality.report import QualityReport, Result, StageReport
from rag_assets.quality.suite import Severity


def result(severity: Severity, *, passed: bool, expected: str = "empty_chunks must be 0.") -> Result:
    return Result(
        stage="chunks",
        expectation="expect_column_values_to_be_between",
        on="profile",
        columns=("empty_chunks",),
        severity=severity,
        passed=passed,
        measured=True,
        expected=expected,
        observed="3",
        description="They are found for anything.",
    )


def stage_of(*results: Result, published: dict[str, dict[str, int]] | None = None) -> StageReport:
    return StageReport(
        stage="chunks",
        snapshot=7,
        profile_key="p",
        suite="built-in",
        suite_digest="s",
        compared_with=None if published is None else 4,
        baseline_key=None if published is None else "b",
        created=datetime(2026, 11, 1, 12, 30, tzinfo=UTC),
        complete=True,
        numbers={"chunks": 1234, "repeated_share": 0.125, "length_drift": None},
        histograms={"length": {"-1": 1, "12": 3, "20": 4}},
        baseline_histograms=published or {},
        results=results,
    )


def page_of(*results: Result, published: dict[str, dict[str, int]] | None = None) -> str:
    return render_page(QualityReport(corpus="manuals").with_stage(stage_of(*results, published=published)))


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = page_of(result("error", passed=True))
    assert "<script" not in page
    assert not re.search(r"(src|href)=|url\(|@import|https?://", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize(
    ("severity", "passed", "verdict"),
    [("error", True, "Passed"), ("error", False, "Failed"), ("warning", False, "Passed")],
)
def test_only_errors_fail_a_report(severity: Severity, passed: bool, verdict: str) -> None:
    report = QualityReport(corpus="manuals").with_stage(stage_of(result(severity, passed=passed)))
    assert report.passed is (verdict == "Passed")
    assert re.search(rf'class="badge (yes|no)">.*?</span> {verdict}</span>', render_page(report))


def test_errors_stand_at_the_top_and_failures_before_what_is_met() -> None:
    page = page_of(
        result("warning", passed=True, expected="first"),
        result("warning", passed=False, expected="second"),
        result("error", passed=False, expected="third"),
    )
    assert 'role="alert">\n<p>Chunks: third' in page
    body = page[page.index("<section>") :]
    assert body.index("third") < body.index("second") < body.index("first")


def test_what_comes_from_documents_and_suites_is_escaped() -> None:
    page = page_of(result("error", passed=False, expected="<img src=x onerror=alert(1)>"))
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_bars_have_no_gaps_and_show_what_is_published() -> None:
    page = page_of(published={"length": {"12": 2, "24": 2}})
    assert re.findall(r'class="label">([^<]*)<', page) == [
        "0",
        "1",
        "2–3",
        "4–7",
        "8–15",
        "16–31",
        "32–63",
        "64–127",
    ]
    assert 'style="--was:0.5000"' in page
    assert "was 50.0 %" in page
    assert "was" not in re.sub(r"<footer>.*", "", page_of(), flags=re.DOTALL).split("<main>")[1]


def test_every_figure_is_listed_with_its_meaning() -> None:
    page = page_of()
    assert "1,234" in page and "0.125" in page
    assert "share of chunks whose embedded text stands somewhere else, too" in page


def test_an_expectation_without_a_figure_is_not_shown_as_met() -> None:
    page = page_of(result("error", passed=True).model_copy(update={"measured": False}))
    assert "– no figure" in page and "✓ met" not in page
    assert '0<span class="value-same"> / 0</span>' in page


def test_a_report_survives_its_json() -> None:
    report = QualityReport(corpus="manuals").with_stage(stage_of(result("error", passed=False)))
    assert QualityReport.model_validate_json(report.model_dump_json()) == report


def test_a_stage_that_is_judged_again_takes_the_place_of_the_earlier_verdict() -> None:
    report = QualityReport(corpus="manuals").with_stage(stage_of(result("error", passed=False)))
    again = report.with_stage(stage_of(result("error", passed=True)))
    assert (report.passed, again.passed, len(again.stages)) == (False, True, 1)
