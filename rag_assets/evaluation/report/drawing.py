"""How charts look and how they become files: colours by role, the style of axes and legends, SVG and PNG.

Vega-Lite (Altair) → SVG or PNG by vl-convert: no browser, no network, no script. Colours are named
roles: on the page each becomes a CSS variable, so that one SVG serves light and dark.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

COLOURS = {
    "ink": "#1b2733",
    "muted": "#5c6b7a",
    "line": "#dde3e9",
    "vector": "#4a7ebb",
    "text": "#c8862a",
    "hybrid": "#0e7c6b",
    "better": "#0b7263",
    "worse": "#b5443f",
}
"""Light values by role; the page's style sheet gives each as ``--<role>`` for light and dark."""
WIDE, NARROW = 880, 250
"""Widths of the plotting area in pixels, for a screen and for a telephone."""
PICTURE = 840
"""The same for pictures: the Dagster UI shows them pixel by pixel in a window of about 1,000."""


def share_axis() -> alt.Axis:
    """An axis from 0 to 1."""
    import altair as alt

    return alt.Axis(tickCount=5, format=".1f")


def name_axis(room: int = 0) -> alt.Axis:
    """An axis of names, with so many pixels for them at least."""
    import altair as alt

    return alt.Axis(
        domain=False,
        ticks=False,
        labelPadding=10,
        labelFontSize=13,
        labelColor=COLOURS["ink"],
        minExtent=room,
    )


def styled(chart: Any) -> Any:
    """A chart in the report's style."""
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
    return (
        chart.configure(background="transparent", font=font, padding=2)
        .configure_view(stroke=None)
        .configure_axis(
            domain=False,
            ticks=False,
            gridColor=COLOURS["line"],
            labelColor=COLOURS["muted"],
            titleColor=COLOURS["muted"],
            titleFontWeight="normal",
            labelFontSize=12,
            titleFontSize=12,
            titlePadding=10,
        )
        .configure_legend(
            orient="top",
            labelColor=COLOURS["ink"],
            labelFontSize=13,
            symbolSize=80,
            symbolOpacity=1,
            offset=10,
        )
    )


def svg_of(chart: Any) -> str:
    """SVG for inlining: colours as variables, no fixed size, hidden from screen readers.

    The page describes every chart in words and repeats its numbers in tables; hundreds of
    labelled marks would only get in a listener's way.
    """
    import vl_convert

    svg = str(vl_convert.vegalite_to_svg(chart.to_dict()))
    for role, colour in COLOURS.items():
        svg = svg.replace(f'"{colour}"', f'"var(--{role})"')
    svg = re.sub(r' (?:aria-[a-z]+|role)="[^"]*"', "", svg)
    opening = re.search(r'<svg [^>]*?width="([0-9.]+)"[^>]*?(viewBox="[^"]*")[^>]*>', svg)
    assert opening is not None
    replaced = f'<svg {opening[2]} style="max-width:{opening[1]}px" aria-hidden="true" focusable="false">'
    return svg[: opening.start()] + replaced + svg[opening.end() :]


def png_of(chart: Any) -> bytes:
    """PNG on white, for places that show pictures."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.properties(background="white", padding=16).to_dict()))
