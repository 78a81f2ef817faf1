"""The chart of answers: what was judged of them, candidate against published version.

Report → static SVG for the page and PNG for the Dagster UI.
"""

from __future__ import annotations

from typing import Any

from rag_assets.corpus import ANSWER_METRICS
from rag_assets.evaluation.report.drawing import (
    COLOURS,
    PICTURE,
    WIDE,
    name_axis,
    png_of,
    share_axis,
    styled,
    svg_of,
)
from rag_assets.evaluation.report.report import Report
from rag_assets.evaluation.search.metrics import title_of
from rag_assets.evaluation.search.summary import MetricRow

CANDIDATE, PUBLISHED = "Candidate", "Published"
NAMES = 145  # pixels for the metrics' names: browsers' letters are wider than those that measure here
BAR = "M-0.22,-1.3L0.22,-1.3L0.22,1.3L-0.22,1.3Z"
"""An upright bar: it stays visible behind the candidate's dot when both means are the same."""


def answer_rows(report: Report) -> list[MetricRow]:
    """What was measured on answers, the parts of the RAG triad first."""
    return [row for name in ANSWER_METRICS if (row := report.metric(name)) is not None]


def answers_svg(report: Report, width: int = WIDE) -> str:
    """Means of the answers' metrics with confidence intervals."""
    return svg_of(_answers(report, width))


def answers_png(report: Report) -> bytes:
    """The same as a picture."""
    return png_of(_answers(report, PICTURE))


def _answers(report: Report, width: int) -> Any:
    import altair as alt

    measured = answer_rows(report)
    rows = [
        {
            "metric": title_of(row.metric),
            "version": CANDIDATE,
            "value": row.value,
            "low": row.low,
            "high": row.high,
        }
        for row in measured
    ]
    before = [
        {"metric": title_of(row.metric), "version": PUBLISHED, "value": difference.published}
        for row in measured
        if (difference := report.difference(row.metric)) is not None
    ]
    versions = [CANDIDATE, PUBLISHED] if before else [CANDIDATE]
    base = alt.Chart(alt.InlineData(values=[*before, *rows])).encode(
        y=alt.Y(
            "metric:N", sort=[title_of(row.metric) for row in measured], title=None, axis=name_axis(NAMES)
        ),
        color=alt.Color(
            "version:N",
            sort=versions,
            scale=alt.Scale(domain=versions, range=[COLOURS["hybrid"], COLOURS["muted"]]),
            legend=alt.Legend(title=None),
        ),
    )
    whisker = base.mark_rule(strokeWidth=4, opacity=0.35, strokeCap="round").encode(
        x=alt.X("low:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=share_axis()), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="value:Q",
        shape=alt.Shape("version:N", sort=versions, scale=alt.Scale(domain=versions, range=["circle", BAR])),
    )
    whisker = whisker.transform_filter(alt.datum.version == CANDIDATE)
    return styled((whisker + point).properties(width=width - NAMES // 2, height=alt.Step(34)))
