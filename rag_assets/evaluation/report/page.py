"""The report as one HTML file: no script, no network, light and dark, on screen and on paper.

``Report`` + the evaluation → Jinja template with inlined style sheet and SVG charts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rag_assets.corpus import ANSWER_METRICS
from rag_assets.evaluation.diagnosis.diagnosis import advice, summarize_diagnoses
from rag_assets.evaluation.report import plots
from rag_assets.evaluation.report.answer_plot import answer_rows, answers_svg
from rag_assets.evaluation.report.details import DECIDING_METRIC, HEADLINE_MODE
from rag_assets.evaluation.report.drawing import NARROW, WIDE
from rag_assets.evaluation.report.refusal import why_not_measured
from rag_assets.evaluation.report.regression import compared_in_words, regressions_of, unchecked
from rag_assets.evaluation.report.report import Report
from rag_assets.evaluation.search.measured import Measured
from rag_assets.evaluation.search.metrics import title_of

if TYPE_CHECKING:
    from jinja2 import Template

CARDS = ("recall@5", "recall@10", "ndcg@10", "mrr")
ANSWER_CARDS = ("faithfulness", "answer_relevancy", "contextual_relevancy", "answered")
_WRAPPED = re.compile(r"(?<=[^\n]{60})\n *(?!```|[\s\d|#>*+-])")
LISTED_CHANGES = 8
LISTED_FAULTS = 50  # per stage


def render_page(report: Report, measured: Measured) -> str:
    """The whole page as HTML. Everything that came from documents or questions is escaped."""
    from markupsafe import Markup

    charts: dict[str, tuple[Markup, ...]] = {}
    if report.metric(DECIDING_METRIC) is not None:
        charts["modes"] = _both_widths(lambda width: plots.modes_svg(report, width))
        charts["ranks"] = _both_widths(lambda width: plots.ranks_svg(measured.figures, width))
    if report.changes:
        charts["changes"] = _both_widths(lambda width: plots.changes_svg(report, width))
    faults = summarize_diagnoses(report.diagnoses)
    extractive = report.judged is not None and report.judged.extractive
    answered = answer_rows(report)
    if answered:
        charts["answers"] = _both_widths(lambda width: answers_svg(report, width))
    return _template().render(
        report=report,
        badge=_badge(report),
        not_measured=why_not_measured(report),
        charts=charts,
        cards=[
            (row, report.difference(row.metric))
            for name in (*CARDS, *ANSWER_CARDS)
            if (row := report.metric(name))
        ],
        modes=plots.LABELS,
        headline_mode=HEADLINE_MODE,
        deciding=DECIDING_METRIC,
        gained=[change for change in report.changes if change.candidate > change.published][:LISTED_CHANGES],
        lost=[change for change in report.changes if change.candidate < change.published][:LISTED_CHANGES],
        facts=list(_facts(report.index)),
        compared=compared_in_words(report),
        worse=regressions_of(report),
        unchecked=None if report.compared_with is None else unchecked(report),
        faults=[(fault, advice(fault.stage, extractive=extractive)) for fault in faults],
        new_faults=sum(fault.new for fault in faults),
        asked=dict(measured.figures.select("question_id", "question").iter_rows())
        | {one.question_id: one.question for one in report.stale},
        listed_faults=LISTED_FAULTS,
        faults_of={one.question_id: one for one in report.diagnoses},
        search_metrics=list(
            dict.fromkeys(row.metric for row in report.metrics if row.metric not in ANSWER_METRICS)
        ),
        answer_rows=answered,
        css=Markup(_read("report.css")),
    )


def _badge(report: Report) -> str:
    """What the gate says of the version, in as few words as a badge has."""
    worse = bool(regressions_of(report))
    match report.gate:
        case "refused":
            return "Refused"
        case "passed":
            return "Passed, but worse" if worse else "Passed"
        case "not measured":
            lacking = "Not measured" if report.gold_digest is None else "Not measured against a rule"
            return f"{lacking}, and worse" if worse else lacking


def _both_widths(draw: Any) -> tuple[Any, ...]:
    from markupsafe import Markup

    return tuple(Markup(draw(width)) for width in (WIDE, NARROW))


def _read(name: str) -> str:
    return (files("rag_assets.evaluation.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": _fixed,
        "signed": _signed,
        "count": _count,
        "metric": title_of,
        "unwrapped": _unwrapped,
    }
    return environment.get_template("report.html.jinja")


def _fixed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None, digits: int = 3) -> str:
    """With a sign, a true minus, and no sign on what rounds to zero."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}"
    return text[1:] if not text.strip("+-0.") else text.replace("-", "−")


def _count(value: int) -> str:
    return f"{value:,}"


def _unwrapped(text: str) -> str:
    """Without the line breaks inside paragraphs of hard-wrapped sources; lists, tables and code keep theirs."""
    return _WRAPPED.sub(" ", text)


def _facts(index: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Facts as flat pairs of text; nested groups get their group's name before their own."""
    for name, value in index.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _facts(value, f"{label}: ")
        elif isinstance(value, bool):
            yield label, "yes" if value else "no"
        elif isinstance(value, int):
            yield label, _count(value)
        elif isinstance(value, float):
            yield label, f"{value:.4g}"
        elif isinstance(value, list):
            yield label, ", ".join(str(item) for item in value) or "none"
        else:
            yield label, "none" if value is None else str(value)
