"""The charts of search: modes side by side, ranks of first results, changed questions.

Report → static SVG for the page; the modes also as PNG for the Dagster UI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets.evaluation.report.details import DECIDING_METRIC
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

if TYPE_CHECKING:
    import altair as alt

LABELS = {"vector": "Vector", "text": "Full text", "hybrid": "Hybrid"}
COMPARED = ("recall@1", "recall@3", "recall@5", "recall@10", "ndcg@10", "mrr")
RANK_BINS = ("1", "2", "3", "4–5", "6–10", "11–100", "not found")


def modes_svg(report: Report, width: int = WIDE) -> str:
    """Means with confidence intervals, search modes side by side."""
    return svg_of(_modes(report, width))


def ranks_svg(questions: pl.DataFrame, width: int = WIDE) -> str:
    """Share of questions by the rank of their first relevant result, per mode."""
    import altair as alt

    rows = rank_shares(questions)
    order = [LABELS[mode] for mode in LABELS]
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            x=alt.X(
                "bin:N",
                sort=list(RANK_BINS),
                title="rank of the first relevant result",
                axis=_bare_axis(0 if width == WIDE else -45),
            ),
            xOffset=alt.XOffset("mode:N", sort=order, scale=alt.Scale(paddingInner=0.12)),
            y=alt.Y("share:Q", title=None, stack=None, axis=alt.Axis(format="%", tickCount=4)),
            color=_mode_colour(order),
        )
        .properties(width=width, height=190)
    )
    return svg_of(styled(chart))


def changes_svg(report: Report, width: int = WIDE) -> str:
    """Every changed question as one bar, from the largest gain to the largest loss."""
    import altair as alt

    deltas = sorted((change.candidate - change.published for change in report.changes), reverse=True)
    rows = [
        {"place": place, "delta": delta, "side": "better" if delta > 0 else "worse"}
        for place, delta in enumerate(deltas)
    ]
    size = max(2, min(18, width // max(1, len(rows)) - 2))
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(size=size, cornerRadiusEnd=2)
        .encode(
            x=alt.X("place:Q", axis=None, scale=alt.Scale(domain=[-1, max(len(rows), 12)])),
            y=alt.Y(
                "delta:Q",
                stack=None,
                title=f"change of {title_of(DECIDING_METRIC)}",
                axis=alt.Axis(format="+.1f", tickCount=5),
            ),
            color=alt.Color(
                "side:N",
                legend=None,
                scale=alt.Scale(domain=["better", "worse"], range=[COLOURS["better"], COLOURS["worse"]]),
            ),
        )
        .properties(width=width, height=150)
    )
    zero = (
        alt.Chart(alt.InlineData(values=[{"zero": 0}]))
        .mark_rule(color=COLOURS["muted"], strokeWidth=1)
        .encode(y="zero:Q")
    )
    return svg_of(styled(chart + zero))


def modes_png(report: Report) -> bytes:
    """The chart of search modes as a picture."""
    return png_of(_modes(report, PICTURE))


def rank_shares(questions: pl.DataFrame) -> list[dict[str, Any]]:
    """Share of questions per mode and rank bin, zeros included."""
    rank = pl.col("first_rank")
    place = (
        pl.when(rank.is_null())
        .then(pl.lit(6))
        .when(rank <= 3)
        .then(rank - 1)
        .when(rank <= 5)
        .then(pl.lit(3))
        .when(rank <= 10)
        .then(pl.lit(4))
        .otherwise(pl.lit(5))
    )
    questions = questions.filter(pl.col("targets").is_not_null())  # the others have nothing to be found
    counts = questions.group_by("mode", place.alias("place")).len()
    totals = dict(questions.group_by("mode").len().iter_rows())
    found = {(mode, place): count for mode, place, count in counts.iter_rows()}
    return [
        {"mode": label, "bin": name, "share": found.get((mode, place), 0) / totals[mode]}
        for mode, label in LABELS.items()
        if mode in totals
        for place, name in enumerate(RANK_BINS)
    ]


def _modes(report: Report, width: int) -> Any:
    import altair as alt

    rows = [
        {
            "metric": title_of(name),
            "mode": LABELS[mode],
            "value": row.value,
            "low": row.low,
            "high": row.high,
        }
        for name in COMPARED
        for mode in LABELS
        if (row := next((r for r in report.metrics if (r.metric, r.mode, r.tag) == (name, mode, None)), None))
    ]
    order = list(LABELS.values())
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        y=alt.Y(
            "metric:N",
            sort=[title_of(name) for name in COMPARED],
            title=None,
            axis=name_axis(),
        ),
        yOffset=alt.YOffset("mode:N", sort=order, scale=alt.Scale(paddingOuter=0.6)),
        color=_mode_colour(order),
    )
    whisker = base.mark_rule(strokeWidth=4, opacity=0.35, strokeCap="round").encode(
        x=alt.X("low:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=share_axis()),
        x2="high:Q",
    )
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x="value:Q",
        shape=alt.Shape(
            "mode:N", sort=order, scale=alt.Scale(domain=order, range=["circle", "square", "diamond"])
        ),
    )
    return styled((whisker + point).properties(width=width, height=alt.Step(14)))


def _mode_colour(order: Sequence[str]) -> alt.Color:
    import altair as alt

    scale = alt.Scale(domain=list(order), range=[COLOURS[mode] for mode in LABELS])
    return alt.Color("mode:N", sort=list(order), scale=scale, legend=alt.Legend(title=None))


def _bare_axis(angle: int) -> alt.Axis:
    import altair as alt

    return alt.Axis(labelAngle=angle, ticks=False, grid=False, labelPadding=6)
