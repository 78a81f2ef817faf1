"""The HTML page: self-contained, escaped, and for every kind of report."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from rag_assets.evaluation.diagnosis.diagnosis import Diagnosis
from rag_assets.evaluation.gold import Question
from rag_assets.evaluation.report.answer_plot import answers_png
from rag_assets.evaluation.report.page import render_page
from rag_assets.evaluation.report.plots import modes_png, rank_shares
from rag_assets.evaluation.report.report import StaleQuestion, build_report
from rag_assets.evaluation.search.evaluate import evaluate, no_questions
from rag_assets.evaluation.search.measured import Measured
from rag_assets.evaluation.search.slices import SliceRow
from rag_assets_tests.evaluation.samples import (
    FULL,
    SUBJECT,
    Said,
    answered_report,
    corpus_with,
    evaluation_of,
    gold_of,
    hit,
    report_of,
)

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
    assert "What of b?" in page.split("Questions behind")[1].split("</details>")[0]
    assert "<dt>Faithfulness" not in page, "no answer was asked for"
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


def answered_page(said: Said, published: Said | None = None) -> str:
    page = render_page(*answered_report({"a": said}, None if published is None else {"a": published}))
    Tags(page)
    return page


def versions_in(page: str) -> list[str]:
    return re.findall(r"<article>.*?</article>", page, re.S)


def test_both_versions_of_an_answer_stand_side_by_side_with_contexts_and_scores() -> None:
    page = answered_page(
        Said("In May.", (("lease", "It ends in May."), ("pets", "Dogs are allowed.")), FULL),
        Said(
            "In June.",
            (("pets", "Dogs are allowed."), ("law", "Notice is due."), ("lease", "It ends.")),
            {**FULL, "faithfulness": 0.5},
        ),
    )
    candidate, published = versions_in(page)
    for text in ("Candidate, version 3", "In May.", "It ends in May.", "<b>Faithfulness</b> 0.90", "▲ +0.40"):
        assert text in candidate and text not in published, text
    assert "faithfulness because" in candidate and "faithfulness because" in published
    for text in ("Publication 1", "In June.", "Notice is due.", "<b>Faithfulness</b> 0.50"):
        assert text in published and text not in candidate, text
    assert [part.count("only here") for part in (candidate, published)] == [0, 1]
    assert [part.count("other passage") for part in (candidate, published)] == [1, 1]
    assert "The same text as the candidate's context 2." in published
    assert [part.count('<li class="hit">') for part in (candidate, published)] == [1, 1]
    assert "answer changed" in page


def test_an_answer_that_did_not_change_is_shown_once() -> None:
    said = Said("In May.", scores=FULL)
    page = answered_page(said, said)
    assert versions_in(page) == []
    assert page.count("<blockquote>In May.</blockquote>") == 1
    assert "Publication 1 answered the same from the same contexts." in page
    assert "answer changed" not in page


def test_without_a_published_version_nothing_is_compared() -> None:
    page = answered_page(Said("In May.", scores=FULL))
    assert versions_in(page) == []
    assert "In May." in page
    assert not re.search("only here|other passage|Publication|Published<", page)


def test_the_chart_of_answers_shows_what_was_measured_of_whom() -> None:
    said = Said("x", scores=FULL)
    for published, versions in ((None, ["Candidate"]), (said, ["Candidate", "Published"])):
        page = answered_page(said, published)
        chart = re.findall(r"<figure.*?</figure>", page, re.S)[0]
        assert chart.count("<svg") == 2, "wide and narrow"
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", chart.split("</svg>")[0])
        assert texts[-len(versions) :] == versions
        assert [text for text in texts if not re.match(r"[\d.]+$", text)][: -len(versions)] == [
            "Contextual relevancy",
            "Faithfulness",
            "Answer relevancy",
            "Answered",
        ]


def test_answers_that_nobody_judged_have_a_page_too() -> None:
    page = answered_page(Said("x"), Said("y"))
    assert "not judged yet" in page
    assert "<dt>Faithfulness" in page


def test_markup_in_answers_and_contexts_is_escaped() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    said = Said(evil, ((evil, evil),), {**FULL, "contextual_recall": 0.5}, evil)
    page = answered_page(said, Said(f"{evil}!", ((evil, f"{evil} before"),), said.scores, evil))
    assert not Tags(page).names & {"script", "img"}
    assert page.count("&lt;script&gt;") > 5


def test_lines_of_hard_wrapped_paragraphs_are_joined_and_those_of_lists_and_code_are_not() -> None:
    line = "A line that was wrapped by hand at about eighty characters, as in many"
    text = f"{line}\nsources.\n\n- {line}\n- second\n\n```\n{line}\n```\n| {line} |\n| row |"
    page = answered_page(Said("x", (("a", text),), FULL))
    joined = text.replace(f"{line}\nsources", f"{line} sources")
    assert f"<blockquote>{joined}</blockquote>" in page


def test_what_to_fix_names_the_questions_also_stale_ones() -> None:
    said = Said("x", scores=FULL)
    report, measured = answered_report(
        {str(number): said for number in range(60)},
        diagnoses=[
            Diagnosis(question_id="gone", stage="gold set", evidence="gone.md is not in the corpus"),
            *(Diagnosis(question_id=str(n), stage="ranking", evidence=f"rank {n}") for n in range(60)),
        ],
        stale=[StaleQuestion(question_id="gone", question="What of gone?", documents=("gone.md",))],
    )
    fixes = render_page(report, measured).split("What to fix first")[1].split("</section>")[0]
    assert "What of gone?<" in fixes
    assert "What of 0?<" in fixes and "What of 59?<" not in fixes
    assert "These are the first 50" in fixes


def test_a_slice_that_is_worse_is_open() -> None:
    def row(name: str, certainty: str) -> SliceRow:
        return SliceRow.model_validate(
            {
                "slice": name,
                "metric": "mrr",
                "n": 20,
                "candidate": 0.5,
                "certainty": certainty,
                "published": 0.7,
                "difference": -0.2,
                "low": -0.3,
                "high": -0.1,
            }
        )

    report, measured = report_of(NEW, OLD)
    rows = (row("tag: bad", "worse"), row("tag: good", "better"), row("tag: same", "noise"))
    page = render_page(report.model_copy(update={"slices": rows}), measured)
    found = re.findall(r'<details( open)?><summary><span class="q">(tag: \w+)', page)
    assert found == [(" open", "tag: bad"), ("", "tag: good"), ("", "tag: same")]


def test_charts_for_the_dagster_ui_are_pictures_that_fit_its_window() -> None:
    said = {"a": Said("x", scores=FULL)}
    for picture in (modes_png(report_of(NEW)[0]), answers_png(answered_report(said, said)[0])):
        assert picture.startswith(b"\x89PNG")
        width = int.from_bytes(picture[16:20], "big")
        assert 800 < width < 1000


def test_the_judges_reliability_stands_beside_each_metric() -> None:
    page = render_page(*answered_report({"a": Said("Yes.", scores=FULL)}))
    assert "<td>wice</td>" in page
    assert "0.81–0.81" in page
    assert "not measured" in page and "counted" in page
