"""The page as a browser lays it out: wide and narrow, light and dark. Needs Chromium; skips without it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag_assets.evaluation.diagnosis.diagnosis import Diagnosis
from rag_assets.evaluation.report.page import render_page
from rag_assets.evaluation.report.report import StaleQuestion
from rag_assets.evaluation.search.slices import SliceRow
from rag_assets_tests.evaluation.samples import FULL, Said, answered_report

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Frames, unlike windows, may be as narrow as a telephone; what holds them may look into them.
FRAME = """<!doctype html><html><body>
<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{page}"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument;
  const view = frame.contentWindow;
  page.querySelectorAll("details").forEach(one => one.open = true);
  const found = (() => {{ {measure} }})();
  document.body.innerHTML = "<pre></pre>";
  document.querySelector("pre").textContent = "found " + JSON.stringify(found) + " end";
}});
</script></body></html>"""
OVERFLOW = """
const width = page.documentElement.clientWidth;
const wide = one => one.getBoundingClientRect().right > width + 1 || one.clientWidth && one.scrollWidth > width + 1;
return [...page.querySelectorAll("body *:not(.scroll, .scroll *, svg, svg *)")].filter(wide)
  .map(one => one.outerHTML.slice(0, 200));
"""
COLUMNS = """
return [...page.querySelectorAll(".versus article")].map(article => {
  const box = article.getBoundingClientRect();
  return {left: box.left, top: box.top, parts: [...article.children].map(one => one.getBoundingClientRect().top)};
});
"""
CONTRAST = """
const rgb = colour => colour.match(/[0-9.]+/g).map(Number);
const light = colour => rgb(colour).slice(0, 3).map(value => value / 255)
  .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
const behind = one => {
  const colour = view.getComputedStyle(one).backgroundColor;
  return rgb(colour)[3] === 0 ? behind(one.parentElement) : colour;
};
const words = [...page.querySelectorAll("body *:not(svg *)")]
  .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
const ratios = words.map(one => {
  const pair = [light(view.getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
  return [(pair[0] + 0.05) / (pair[1] + 0.05), one.outerHTML.slice(0, 200)];
});
return {dark: light(behind(page.querySelector("section"))) < 0.5, worst: ratios.sort((a, b) => a[0] - b[0])[0]};
"""
Measure = Callable[..., Any]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("needs Chromium")

    def run(page: str, script: str, width: int, *flags: str) -> Any:
        holder = tmp_path / "holder.html"
        holder.write_text(FRAME.format(width=width, page=html.escape(page), measure=script))
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", *flags, "--dump-dom",
            holder.as_uri(),
        ]  # fmt: skip
        dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        match = re.search(r"<pre>found (.*) end</pre>", dumped, re.S)
        assert match is not None, dumped[-2000:]
        return json.loads(html.unescape(match[1]))

    return run


@pytest.fixture(scope="module")
def page() -> str:
    """A refused candidate: long words everywhere, both kinds of marks, and something to fix."""
    word = "unbreakable" * 30
    contexts = (("wanted", f"{word}\n| a | table |"), (f"{word}.md", "only the candidate has it"))
    report, measured = answered_report(
        {"a": Said(f"{word} {word}", contexts, FULL), "b": Said(None, scores=FULL), word: Said("x")},
        {"a": Said("before", (("wanted", "text of wanted"),), FULL), "b": Said("x", scores=FULL)},
        [{"metric": "recall@5", "min": 0.1, "max_drop": 0.1}],
        problems=[word],
        slices=[
            SliceRow(
                slice=f"tag: {word}",
                metric="contextual_relevancy",
                n=12,
                candidate=0.1,
                published=0.2,
                difference=-0.1,
                low=-0.2,
                high=-0.05,
                certainty="worse",
            )
        ],
        stale=[StaleQuestion(question_id="s", question=word, documents=(f"{word}.md",))],
        diagnoses=[Diagnosis(question_id="a", stage="generation", evidence=f"it says {word}")],
        warnings=[word],
    )
    return render_page(report, measured)


@pytest.mark.parametrize("width", [1180, 700, 390])
def test_nothing_stands_outside_the_page(measure: Measure, page: str, width: int) -> None:
    assert measure(page, OVERFLOW, width) == []


def test_both_versions_stand_side_by_side_on_a_screen(measure: Measure, page: str) -> None:
    candidate, published = measure(page, COLUMNS, 1180)[:2]
    assert candidate["left"] < published["left"]
    assert candidate["parts"] == published["parts"], "answers, judgements and contexts begin at one height"


def test_the_published_version_stands_below_on_a_telephone(measure: Measure, page: str) -> None:
    candidate, published = measure(page, COLUMNS, 390)[:2]
    assert candidate["left"] == published["left"]
    assert candidate["parts"][-1] < published["top"]


@pytest.mark.parametrize("dark", [False, True])
def test_all_words_can_be_read_in_light_and_dark(measure: Measure, page: str, dark: bool) -> None:
    found = measure(page, CONTRAST, 1180, f"--blink-settings=preferredColorScheme={0 if dark else 1}")
    assert found["dark"] is dark
    assert found["worst"][0] >= 4.5, found["worst"]
