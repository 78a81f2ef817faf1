"""A benchmark runs end to end, and the page shows what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.question_sets import question_sets
from benchmarks.table import Column, Table, markdown
from rag_assets.evaluation.gold import load_gold
from rag_assets.evaluation.gold.file import append_lines

ROOT = Path(__file__).resolve().parents[1]


def benchmark(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--results", str(folder / "results.json"), "--page", str(folder / "benchmarks.md")]
    command = [sys.executable, "-m", "benchmarks", *arguments, *places]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_a_tiny_benchmark_writes_results_and_page_and_keeps_the_results_of_others(
    shared_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("psutil")
    kept = {
        "date": "2026-01-01", "machine": {"CPU": "Another"}, "quick": False, "seconds": 1.0,
        "tables": {"formats": [{"format": "pdf", "files": 7, "quarantined": {"scanned": 2}}]},
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps({"formats": kept}))
    done = benchmark(tmp_path, "scale", "--quick", "--data", str(shared_data))
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["formats"] == kept
    (row,) = results["scale"]["tables"]["growth"]
    assert row["documents"] == 20
    assert row["chunks"] >= 40
    assert row["peak"] > 0.1
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| pdf | 7 | 2 scanned |" in page
    assert f"| 20 | {row['chunks']} |" in page
    assert "the figures say nothing" in page
    assert "Not measured yet: `python -m benchmarks cold`" in page
    assert str(ROOT) not in page


def test_an_unknown_benchmark_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    done = benchmark(tmp_path, "speed")
    assert done.returncode == 2
    assert "no benchmark 'speed'" in done.stderr
    assert "retrieval" in done.stderr


def test_a_table_shows_dashes_for_what_is_missing_and_leaves_empty_columns_out() -> None:
    table = Table("t", (Column("a", "A"), Column("b", "B", ".2f"), Column("c", "C")))
    rows = [{"a": "x|y", "b": 1}, {"a": "z", "b": None}]
    assert markdown(table, rows) == "| A | B |\n|---|---:|\n| x\\|y | 1.00 |\n| z | – |"


def test_each_question_set_writes_the_documents_that_its_questions_want(
    shared_data: Path, tmp_path: Path
) -> None:
    for name, whole in question_sets(shared_data).items():
        for size, found in ("whole", whole), ("first", whole.first(10)):
            folder = tmp_path / name / size
            found.write(folder / "documents")
            append_lines(folder / "gold.jsonl", found.imported.questions)
            gold = load_gold(folder / "gold.jsonl")
            wanted = {document for question in gold.questions for document in question.documents}
            assert wanted, name
            assert wanted <= {path.name for path in (folder / "documents").iterdir()}, name
            assert size == "whole" or len(gold.questions) == 10
