"""Reports: what they say, and that they survive storage."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from rag_assets.evaluation.report.files import read_report, write_report
from rag_assets.evaluation.report.report import build_report
from rag_assets.evaluation.search.evaluate import no_questions
from rag_assets.evaluation.search.measured import Measured
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.evaluation.samples import (
    SUBJECT,
    corpus_with,
    evaluation_of,
    gold_of,
    question,
    report_of,
)

NEW = {"a": 1, "b": None, "c": 3, "d": 2}
OLD = {"a": 2, "b": None, "c": 1, "d": 2}


def test_metrics_stand_per_mode_overall_and_per_tag_with_intervals() -> None:
    report, _ = report_of(NEW, tags={"a": ("easy",), "c": ("easy", "old")})
    whole, easy = report.metric("mrr"), report.metric("mrr", tag="easy")
    assert whole is not None and easy is not None
    assert (whole.n, easy.n) == (4, 2)
    assert whole.value == pytest.approx((1 + 1 / 3 + 1 / 2) / 4)
    assert easy.value == pytest.approx((1 + 1 / 3) / 2)
    assert whole.low <= whole.value <= whole.high
    assert report.tags == ("easy", "old")
    assert report.modes == ("vector", "text", "hybrid")
    assert report.metric("mrr", tag="nobody") is None


def test_the_comparison_counts_questions_and_pairs_them() -> None:
    report, _ = report_of(NEW, OLD)
    row = report.difference("mrr")
    assert row is not None
    assert (row.n, row.improved, row.same, row.worse) == (4, 1, 2, 1)
    assert (
        row.difference == pytest.approx((1 / 2 - 2 / 3) / 4) == pytest.approx(row.candidate - row.published)
    )
    assert row.low <= row.difference <= row.high
    assert [change.question_id for change in report.changes] == ["c", "a"]


def test_worst_questions_come_worst_first_without_the_perfect_ones() -> None:
    report, _ = report_of(NEW, OLD)
    assert [item.question_id for item in report.worst] == ["b", "c", "d"]
    worst = report.worst[0]
    assert (worst.first_rank, worst.value, worst.published) == (None, 0.0, 0.0)
    assert [hit.document_id for hit in worst.hits][:2] == ["other-1", "other-2"]
    assert [hit.relevant for hit in report.worst[1].hits] == [False, False, True, False, False]


def test_without_a_gold_set_a_warning_stands_and_only_problems_decide() -> None:
    report = build_report(corpus_with(gold=None), SUBJECT, None, Measured.of(no_questions()), index={})
    assert (report.questions, report.metrics, report.verdict.passed) == (0, (), True)
    assert "No gold set" in report.warnings[0]
    failed = build_report(
        corpus_with(gold=None), SUBJECT, None, Measured.of(no_questions()), index={}, problems=["broken"]
    )
    assert not failed.verdict.passed


def test_a_small_gold_set_and_questions_that_were_not_compared_are_warned_about() -> None:
    report, _ = report_of(NEW, {"a": 1, "c": 1})
    assert "Only 4 gold questions" in report.warnings[0]
    assert "answered 2 of these 4 questions" in report.warnings[1]
    many = {str(number): 1 for number in range(60)}
    assert report_of(many, many)[0].warnings == ()


def test_the_rules_of_the_corpus_file_decide() -> None:
    rules = [{"metric": "recall@5", "min": 0.8}]
    report, _ = report_of(NEW, rules=rules)
    assert not report.verdict.passed
    assert report.verdict.outcomes[0].questions == ("b",)


def test_the_same_input_gives_the_same_report() -> None:
    def build() -> str:
        gold = gold_of(*(question(name) for name in NEW))
        created = datetime(2026, 1, 1, tzinfo=UTC)
        report = build_report(
            corpus_with(),
            SUBJECT,
            gold,
            Measured.of(evaluation_of(NEW)),
            index={},
            published=(1, Measured.of(evaluation_of(OLD))),
            created=created,
        )
        return report.model_dump_json()

    assert build() == build()


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    report, measured = report_of(NEW, OLD, [{"metric": "mrr", "min": 0.1, "max_drop": 0.2}], {"a": ("t",)})
    write_report(objects, "reports/1", report, measured)
    found = read_report(objects, "reports/1")
    assert found is not None
    assert found[0] == report
    assert found[1].equals(measured.figures)
    written = pl.read_parquet(tmp_path / "reports/1/questions.parquet")
    assert written.equals(measured.whole().collect()) and "hits" in written.columns
    assert (tmp_path / "reports/1/report.html").read_text("utf-8").startswith("<!doctype html>")


def test_a_report_without_its_last_file_is_no_report(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    write_report(objects, "reports/1", *report_of(NEW))
    objects.delete(["reports/1/report.json"])
    assert read_report(objects, "reports/1") is None


@pytest.mark.parametrize("file", ["report.json", "questions.parquet"])
@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 64, None])
def test_a_report_with_a_damaged_file_is_no_report(tmp_path: Path, file: str, content: bytes | None) -> None:
    objects = ObjectStore.open(tmp_path)
    report, measured = report_of(NEW)
    write_report(objects, "reports/1", report, measured)
    objects.delete([f"reports/1/{file}"])
    if content is not None:
        objects.put(f"reports/1/{file}", content)
    assert read_report(objects, "reports/1") is None
