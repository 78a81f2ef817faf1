"""The HTML page: self-contained, escaped, and for every kind of report."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from rag_assets.evaluation.evaluate import evaluate, no_questions
from rag_assets.evaluation.measured import Measured
from rag_assets.evaluation.page import render_page
from rag_assets.evaluation.plots import modes_png, rank_shares
from rag_assets.evaluation.report import build_report
from rag_assets.gold import Question
from rag_assets_tests.evaluation.samples import SUBJECT, corpus_with, evaluation_of, gold_of, hit, report_of

NEW = {"a": 1, "b": None, "c": 3, "d": 2}
OLD = {"a": 2, "b": None, "c": 1, "d": 2}
RULES = [{"metric": "recall@5", "min": 0.9}, {"metric": "mrr", "mode": "text", "max_drop": 0.5}]


class Tags(HTMLParser):
    """Collects elements and attributes, and whether every element is closed."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_refers_to_nothing_outside_and_runs_no_script() -> None:
    page = render_page(*report_of(NEW, OLD, RULES, {"a": ("t",)}))
    tags = Tags(page)
    assert not tags.names & {"script", "link", "iframe", "object", "embed", "img", "form"}
    assert not [
        name for name, _ in tags.attributes if name in {"src", "href", "xlink:href", "srcset", "action"}
    ]
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page


def test_the_page_says_what_the_report_says() -> None:
    report, measured = report_of(NEW, OLD, RULES, {"a": ("first-tag",)})
    page = render_page(report, measured)
    for text in (
        "handbook",
        "Refused",
        "Recall@5",
        "nDCG@10",
        "first-tag",
        "publication 1",
        "What of b?",
        "other-1",
    ):
        assert text in page, text
    assert report.verdict.outcomes[0].reason in page
    assert page.count("<svg") == 6


def test_markup_in_questions_documents_and_facts_is_escaped() -> None:
    evil = "<script>alert('x')</script><img src=x onerror=alert(1)>"
    asked = Question(evil, evil, (evil,), (f"{evil} quoted",), evil, (evil,))
    gold = gold_of(asked)
    measured = Measured.of(
        evaluate(gold.questions, lambda questions, mode, k: [[hit("other", evil, evil)] for _ in questions])
    )
    better = evaluate(gold.questions, lambda questions, mode, k: [[hit(evil, evil, evil)] for _ in questions])
    report = build_report(
        corpus_with([{"metric": "mrr", "min": 0.9}]),
        SUBJECT.model_copy(update={"embedder": evil}),
        gold,
        measured,
        index={evil: evil},
        published=(1, Measured.of(better)),
        problems=[evil],
        warnings=[evil],
    )
    page = render_page(report, measured)
    assert not Tags(page).names & {"script", "img"}
    assert "&lt;script&gt;" in page


def test_a_report_without_questions_is_a_page_too() -> None:
    report = build_report(
        corpus_with(gold=None), SUBJECT, None, Measured.of(no_questions()), index={"rows": 12345, "fts": True}
    )
    page = render_page(report, Measured.of(no_questions()))
    Tags(page)
    assert "No gold set" in page
    assert "12,345" in page
    assert "<svg" not in page


def test_charts_take_their_colours_from_the_style_sheet() -> None:
    page = render_page(*report_of(NEW, OLD))
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        assert "var(--" in svg
        # Only what has no colour role of ours may keep a fixed colour, and nothing does.
        assert not re.search(r'(?:fill|stroke)="(?:#|black|white)', svg)


def test_rank_shares_add_up_to_one_per_mode() -> None:
    shares = rank_shares(evaluation_of({"a": 1, "b": None, "c": 5, "d": 11}))
    hybrid = {row["bin"]: row["share"] for row in shares if row["mode"] == "Hybrid"}
    assert hybrid == {"1": 0.25, "2": 0, "3": 0, "4–5": 0.25, "6–10": 0, "11–100": 0.25, "not found": 0.25}
    assert sum(row["share"] for row in shares) == pytest.approx(3)


def test_the_headline_chart_is_a_png() -> None:
    assert modes_png(report_of(NEW)[0]).startswith(b"\x89PNG")
