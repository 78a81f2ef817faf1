"""Real files of many formats: none crashes or hangs the pool, and the text is the expected one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.formats import documents, measure, outcomes
from rag_assets.corpus import Parsing
from rag_assets.ingest.parsing.document import ParsedDocument, Rejection
from rag_assets.ingest.parsing.formats import format_of
from rag_assets.ingest.parsing.parse import parse
from rag_assets.ingest.parsing.worker import outcome

# Mean similarity to the expected text, a little below what was measured.
FLOORS = {"docx": 0.92, "html": 0.91, "markdown": 0.86, "pdf": 0.93}


@pytest.mark.slow
def test_real_files_of_every_format_are_parsed_or_rejected_for_a_reason(shared_data: Path) -> None:
    paths = documents(shared_data)
    assert len(paths) > 600
    found = outcomes(paths, Parsing(timeout_seconds=60))
    assert set(found) == set(paths)
    for path, result in found.items():
        supported = format_of(path.name) is not None
        if isinstance(result, Rejection):
            assert result.reason in ({"encrypted", "no_text", "empty"} if supported else {"unsupported"}), (
                path
            )
        else:
            assert result.text.strip(), path


@pytest.mark.slow
def test_the_text_is_close_to_the_expected_text(shared_data: Path) -> None:
    rows = {row["format"]: row for row in measure(shared_data)}
    means = {format: rows[format]["similarity_mean"] for format in FLOORS}
    assert all(means[format] >= floor for format, floor in FLOORS.items()), means
    assert all(rows[format]["compared"] >= 10 for format in FLOORS)


def test_thousands_of_markdown_files_take_seconds(shared_data: Path) -> None:
    source = (
        shared_data / "documents" / "mixed-formats" / "docling" / "orig" / "md" / "sources" / "wiki.md"
    ).read_bytes()
    page = b"---\ntitle: Page\ndate: 2024-05-01\ntags: [a, b, c]\n---\n" + source
    start = time.process_time()
    for _ in range(1000):
        assert isinstance(outcome(parse, page, "markdown"), ParsedDocument)
    assert time.process_time() - start < 3
