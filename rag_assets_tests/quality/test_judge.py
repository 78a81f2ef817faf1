"""Great Expectations judges small tables, in memory, without a word to anyone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from rag_assets.errors import ConfigurationError
from rag_assets.quality.judge import judge
from rag_assets.quality.language import detector
from rag_assets.quality.suite import load_suite, parse_suite
from rag_assets.quality.tables import STAGES, Stage, Table

PROFILE = pl.DataFrame(
    {"documents": [3], "near_duplicate_share": [0.5], "length_drift": [None], "main_language": ["en"]}
)
SAMPLE = pl.DataFrame(
    {
        "document_id": ["a", "b", "c"],
        "characters": [10, 20, 30],
        "title": ["One", None, "Three"],
        "language": ["en", "en", "de"],
    }
)
TABLES: dict[Table, pl.DataFrame] = {"profile": PROFILE, "sample": SAMPLE}

OFFLINE = """
import socket, sys
def refuse(*args, **kwargs): raise AssertionError("a connection was tried")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import polars as pl
from rag_assets.quality.judge import judge
from rag_assets.quality.suite import load_suite
assert "great_expectations" not in sys.modules
suite = load_suite("documents", None)
row = pl.DataFrame({name: [1] for name in suite.columns("profile")})
sample = pl.DataFrame({name: ["a"] for name in suite.columns("sample")})
print(len(judge(suite, {"profile": row, "sample": sample})) == len(suite.entries))
"""


def suite_of(*entries: str, stage: Stage = "documents") -> str:
    return "\n".join(f"- {entry}" for entry in entries)


def judged(*entries: str) -> list[tuple[bool, str, str]]:
    suite = parse_suite("documents", suite_of(*entries), "suite.yaml")
    return [(result.passed, result.expected, result.observed) for result in judge(suite, TABLES)]


def test_a_result_says_what_was_expected_and_what_was_found() -> None:
    (found,) = judged(
        "{expectation: expect_column_values_to_be_between, kwargs: {column: near_duplicate_share, max_value: 0.2}, "
        "severity: warning}"
    )
    assert found == (False, "near_duplicate_share must be less than or equal to 0.2.", "0.5")


def test_a_figure_that_could_not_be_computed_fails_nothing() -> None:
    entry = (
        "{expectation: expect_column_values_to_be_between, kwargs: {column: length_drift, max_value: 0.2}, "
        "severity: error}"
    )
    (found,) = judge(parse_suite("documents", f"- {entry}", "suite.yaml"), TABLES)
    assert (found.passed, found.measured, found.observed) == (True, False, "nothing to compute it from")


def test_a_sample_is_judged_row_by_row_and_names_some_that_do_not_fit() -> None:
    found = judged(
        "{expectation: expect_column_values_to_be_in_set, on: sample, severity: error, "
        "kwargs: {column: language, value_set: [en]}}",
        "{expectation: expect_column_values_to_be_in_set, on: sample, severity: error, "
        "kwargs: {column: language, value_set: [en], mostly: 0.6}}",
        "{expectation: expect_column_values_to_be_between, on: sample, severity: error, "
        "kwargs: {column: characters, min_value: 10, max_value: 30}}",
    )
    assert [passed for passed, _, _ in found] == [False, True, True]
    assert found[0][1:] == ("language values must belong to this set: en.", "1 of 3 rows do not fit: de")


def test_a_table_as_a_whole_and_pairs_of_columns_can_be_judged() -> None:
    found = judged(
        "{expectation: expect_table_row_count_to_be_between, on: sample, kwargs: {min_value: 4}, severity: error}",
        "{expectation: expect_column_max_to_be_between, on: sample, kwargs: {column: characters, max_value: 99}, "
        "severity: error}",
        "{expectation: expect_compound_columns_to_be_unique, on: sample, "
        "kwargs: {column_list: [document_id, language]}, severity: error}",
    )
    assert [(passed, observed) for passed, _, observed in found][:2] == [(False, "3"), (True, "30")]
    assert found[2][0]


def test_results_keep_the_order_and_the_severity_of_the_suite() -> None:
    for stage in STAGES:
        suite = load_suite(stage, None)
        row = pl.DataFrame({name: [1] for name in suite.columns("profile")})
        sample = pl.DataFrame({name: ["a"] if name != "words" else [5] for name in suite.columns("sample")})
        results = judge(suite, {"profile": row, "sample": sample})
        assert [(result.columns, result.severity) for result in results] == [
            (tuple(column for _, column in entry.columns()), entry.severity) for entry in suite.entries
        ]


def test_an_empty_sample_fails_nothing() -> None:
    suite = load_suite("gold", None)
    row = pl.DataFrame({name: [None] for name in suite.columns("profile")})
    results = judge(
        suite,
        {"profile": row, "sample": pl.DataFrame(schema=dict.fromkeys(suite.columns("sample"), pl.Int64))},
    )
    assert all(result.passed for result in results)


def test_an_expectation_that_cannot_be_computed_is_a_mistake_of_the_suite() -> None:
    with pytest.raises(ConfigurationError) as caught:
        judged(
            '{expectation: expect_column_values_to_match_regex, on: sample, kwargs: {column: title, regex: "("}, '
            "severity: error}",
            "{expectation: expect_column_max_to_be_between, on: sample, kwargs: {column: title, max_value: 3}, "
            "severity: error}",
        )
    first, second = str(caught.value).splitlines()
    assert first.startswith(
        "suite.yaml:1: expect_column_values_to_match_regex: cannot be computed on the sample: "
    )
    assert second.startswith(
        "suite.yaml:2: expect_column_max_to_be_between: cannot be computed on the sample: "
    )


def test_judging_needs_no_network_prints_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        cwd=home,
        env={
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert [str(path) for path in home.rglob("*")] == []


def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    from rag_assets.quality import language

    monkeypatch.setitem(sys.modules, "great_expectations", None)
    with pytest.raises(ConfigurationError, match=r"pip install -c constraints.txt -e '\.\[quality\]'"):
        judge(load_suite("documents", None), TABLES)

    def none(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(language, "version", none)
    with pytest.raises(ConfigurationError, match=r"pip install -c constraints.txt -e '\.\[quality\]'"):
        detector()
