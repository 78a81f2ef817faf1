"""The page on data quality is held to the code."""

from __future__ import annotations

import re
from pathlib import Path

from rag_assets.quality.files import KEPT_REPORTS
from rag_assets.quality.judge import check_suite
from rag_assets.quality.profile import SAMPLE_ROWS
from rag_assets.quality.suite import Entry, parse_suite
from rag_assets.quality.tables import COLUMNS, STAGES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data-quality.md").read_text()
SECTIONS = {
    "documents": "Columns of the documents",
    "chunks": "Columns of the chunks",
    "embeddings": "Columns of the vectors",
    "gold": "Columns of the gold set",
}


def test_the_example_suite_is_valid() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    suite = parse_suite("documents", example, "docs/data-quality.md")
    check_suite(suite)
    assert {entry.severity for entry in suite.entries} == {"error", "warning"}


def test_every_column_is_documented_under_its_stage() -> None:
    for stage in STAGES:
        section = PAGE.split(f"## {SECTIONS[stage]}\n")[1].split("\n## ")[0]
        named = set(re.findall(r"`([a-z_0-9]+)`", section))
        declared = {*COLUMNS["profile"][stage], *COLUMNS["sample"][stage]}
        assert declared - named == set()


def test_every_field_of_an_entry_is_documented() -> None:
    for name in Entry.model_fields:
        assert f"| `{name}` |" in PAGE


def test_the_figures_on_the_page_are_those_of_the_code() -> None:
    assert f"at most {SAMPLE_ROWS:,} rows" in PAGE
    assert f"The newest {KEPT_REPORTS} reports" in PAGE
