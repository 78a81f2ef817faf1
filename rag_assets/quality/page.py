"""The quality report as one HTML file: no script, no network, light and dark, on screen and on paper.

``QualityReport`` → Jinja template with inlined style sheets: the evaluation report's and a few rules of
its own. Bars are drawn by CSS alone. Great Expectations' own pages would need the internet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from rag_assets.quality.profile import Figure, octaves
from rag_assets.quality.report import QualityReport, StageReport
from rag_assets.quality.tables import COLUMNS, Stage

if TYPE_CHECKING:
    from jinja2 import Template

TITLES: Mapping[Stage, str] = {
    "documents": "Documents",
    "chunks": "Chunks",
    "embeddings": "Vectors",
    "gold": "Gold questions",
}
LENGTHS: Mapping[Stage, str] = {"documents": "Characters per document", "chunks": "Tokens per chunk"}
OTHERS = {"language": "Languages of the documents", "tag": "Questions by tag"}
SHOWN_BARS = 16


class Bar(NamedTuple):
    """One bar: shares of all rows, now and in what is published (None: nothing to compare)."""

    label: str
    rows: int
    share: float
    published: float | None


def render_page(report: QualityReport) -> str:
    """The whole page as HTML. Everything that came from documents or suites is escaped."""
    return _template().render(
        report=report,
        titles=TITLES,
        charts={stage.stage: _charts(stage) for stage in report.stages},
        meaning=COLUMNS["profile"],
    )


def _charts(stage: StageReport) -> dict[str, list[Bar]]:
    charts: dict[str, list[Bar]] = {}
    for name, histogram in stage.histograms.items():
        before = stage.baseline_histograms.get(name, {})
        if name == "length":
            charts[LENGTHS[stage.stage]] = _lengths(octaves(histogram), octaves(before))
        else:
            charts[OTHERS[name]] = _largest(histogram, before)
    return {title: bars for title, bars in charts.items() if bars}


def _lengths(now: Mapping[int, int], before: Mapping[int, int]) -> list[Bar]:
    """A bar for every bin between the shortest and the longest, so that gaps show."""
    bounds = sorted({*now, *before})
    if not bounds:
        return []
    lows = [low for low in (0, *(2**power for power in range(64))) if bounds[0] <= low <= bounds[-1]]
    return _bars([(_span(low), now.get(low, 0), before.get(low, 0)) for low in lows])


def _span(low: int) -> str:
    return f"{low:,}" if low < 2 else f"{low:,}–{2 * low - 1:,}"


def _largest(now: Mapping[str, int], before: Mapping[str, int]) -> list[Bar]:
    """A bar for each of the most frequent, and one for the rest; what is gone has one, too."""
    rows = [(name, now.get(name, 0), before.get(name, 0)) for name in {**now, **before}]
    if len(rows) > SHOWN_BARS:
        rest = rows[SHOWN_BARS:]
        counts = (sum(count for _, count, _ in rest), sum(count for _, _, count in rest))
        rows = [*rows[:SHOWN_BARS], (f"{len(rest)} more", *counts)]
    return _bars(rows)


def _bars(rows: Sequence[tuple[str, int, int]]) -> list[Bar]:
    whole, whole_before = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return [
        Bar(label, count, count / max(1, whole), before / whole_before if whole_before else None)
        for label, count, before in rows
    ]


def _figure(value: Figure) -> str:
    match value:
        case None:
            return "–"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
    return value


def _percent(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": _figure, "percent": _percent}
    # The same look as the evaluation report, whose style sheet this is.
    shared = (files("rag_assets.evaluation.report") / "templates" / "report.css").read_text(encoding="utf-8")
    environment.globals["css"] = Markup(shared + _read("quality.css"))
    return environment.from_string(_read("quality.html.jinja"))


def _read(name: str) -> str:
    return (files("rag_assets.quality") / "templates" / name).read_text(encoding="utf-8")
