"""Suite files: readable, editable, and every mistake is named with file, line, found and allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.errors import ConfigurationError
from rag_assets.quality.judge import check_suite
from rag_assets.quality.suite import (
    BUILT_IN,
    Suite,
    built_in,
    copy_built_in,
    load_suite,
    load_suites,
    parse_suite,
)
from rag_assets.quality.tables import STAGES, Stage

GOOD = """
- expectation: expect_column_values_to_be_between
  kwargs: {column: near_duplicate_share, max_value: 0.2}
  severity: warning
"""


def mistakes(text: str, stage: Stage = "documents") -> list[str]:
    """What is said about a suite, by the reader or by Great Expectations."""
    with pytest.raises(ConfigurationError) as caught:
        check_suite(parse_suite(stage, text, "suite.yaml"))
    return str(caught.value).splitlines()


@pytest.mark.parametrize("stage", STAGES)
def test_the_built_in_suites_are_valid_and_say_why(stage: Stage) -> None:
    suite = load_suite(stage, None)
    check_suite(suite)
    assert suite.entries
    assert all(entry.description for entry in suite.entries)
    assert built_in(stage).startswith("#")


def test_an_entry_is_about_the_profile_unless_it_says_otherwise() -> None:
    assert parse_suite("documents", GOOD, "x").entries[0].on == "profile"


def test_a_stage_without_a_file_keeps_the_built_in_suite(tmp_path: Path) -> None:
    (tmp_path / "documents.yaml").write_text(GOOD)
    suites = load_suites(tmp_path)
    assert suites["documents"].origin == str(tmp_path / "documents.yaml")
    assert len(suites["documents"].entries) == 1
    assert [suites[stage].origin for stage in STAGES if stage != "documents"] == [BUILT_IN] * 3


def test_an_empty_list_asks_nothing(tmp_path: Path) -> None:
    (tmp_path / "gold.yaml").write_text("# no expectations\n[]\n")
    assert load_suite("gold", tmp_path).entries == ()


def test_a_file_that_no_stage_reads_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "document.yaml").write_text(GOOD)
    (tmp_path / "chunks.yml").write_text(GOOD)
    with pytest.raises(ConfigurationError) as caught:
        load_suites(tmp_path)
    assert "document.yaml: no suite of that name is read; allowed: documents.yaml" in str(caught.value)
    assert "chunks.yml: no suite" in str(caught.value)


def test_a_folder_that_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"no such folder; quality\.suites in the corpus file names it"
    ):
        load_suites(tmp_path / "nowhere")


def test_mistakes_of_all_files_are_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "documents.yaml").write_text(GOOD.replace("warning", "fatal"))
    (tmp_path / "chunks.yaml").write_text("nothing")
    with pytest.raises(ConfigurationError) as caught:
        load_suites(tmp_path)
    assert len(str(caught.value).splitlines()) == 2


def test_the_built_in_suites_can_be_copied_to_be_edited_and_edits_stay(tmp_path: Path) -> None:
    folder = tmp_path / "quality"
    ((path, *_),) = [copy_built_in(folder)]
    assert sorted(file.stem for file in folder.iterdir()) == sorted(STAGES)
    assert {stage: suite.digest for stage, suite in load_suites(folder).items()} == {
        stage: suite.digest for stage, suite in load_suites(None).items()
    }
    path.write_text("[]")
    assert copy_built_in(folder) == []
    assert path.read_text() == "[]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- severity: error\n", ["suite.yaml:1: expectation: missing; this field is required"]),
        (
            GOOD.replace("severity: warning", "severity: fatal"),
            ["suite.yaml:4: severity: found 'fatal'; allowed: 'error' or 'warning'"],
        ),
        (
            GOOD.replace("kwargs", "kwarg"),
            ["suite.yaml:3: kwarg: unknown field; did you mean 'kwargs'? allowed: expectation, on, kwargs, "
             "severity, description"],
        ),
        (
            GOOD + "  on: table\n",
            ["suite.yaml:5: on: found 'table'; allowed: 'profile' or 'sample'"],
        ),
        (
            GOOD.replace("max_value: 0.2", "max_value: 0.2, severity: error"),
            ["suite.yaml:2: expect_column_values_to_be_between: kwargs.severity: not allowed here; severity stands "
             "beside kwargs"],
        ),
        ("", ["suite.yaml:1: found nothing; allowed: a list of expectations, [] for none"]),
        ("documents: []", ["suite.yaml:1: found a dict; allowed: a list of expectations, [] for none"]),
        ("- a: [", ["suite.yaml:1: not valid YAML: expected the node content, but found '<stream end>'"]),
    ],
)  # fmt: skip
def test_a_mistake_in_the_form_of_a_file_is_named(text: str, said: list[str]) -> None:
    assert mistakes(text) == said


def test_an_unknown_column_is_named_with_those_that_are_allowed() -> None:
    (line,) = mistakes(GOOD.replace("near_duplicate_share", "near_duplicates_share"))
    assert line.startswith(
        "suite.yaml:2: expect_column_values_to_be_between: kwargs.column: found 'near_duplicates_share', "
        "no column of the documents profile; did you mean 'near_duplicate_share'? allowed: documents, quarantined"
    )


def test_a_column_of_the_other_table_is_told_so() -> None:
    (line,) = mistakes(GOOD.replace("near_duplicate_share", "characters"))
    assert "it is a column of 'on: sample'" in line


def test_every_column_argument_is_looked_at() -> None:
    text = """
- expectation: expect_column_pair_values_a_to_be_greater_than_b
  on: sample
  kwargs: {column_A: ends, column_B: start}
  severity: error
- expectation: expect_compound_columns_to_be_unique
  on: sample
  kwargs: {column_list: [document_id, begin]}
  severity: error
"""
    first, second = mistakes(text, "chunks")
    assert first.startswith("suite.yaml:2") and "kwargs.column_A: found 'ends'" in first
    assert second.startswith("suite.yaml:6") and "kwargs.column_list: found 'begin'" in second


def test_the_share_of_any_language_may_be_named() -> None:
    suite = parse_suite("documents", GOOD.replace("near_duplicate_share", "language_share_de"), "x")
    assert "language_share_de" in suite.columns("profile")


def test_an_unknown_expectation_is_named() -> None:
    (line,) = mistakes(GOOD.replace("to_be_between", "to_be_betwixt"))
    assert line == (
        "suite.yaml:2: expect_column_values_to_be_betwixt: no such expectation; "
        "did you mean 'expect_column_values_to_be_between'?"
    )


def test_wrong_arguments_are_named_one_by_one() -> None:
    lines = mistakes(GOOD.replace("max_value: 0.2", "max_value: many, at_most: 3"))
    assert any("kwargs.at_most: no such argument; allowed: column, " in line for line in lines)
    assert any("kwargs.max_value: found 'many'; value is not a valid float" in line for line in lines)
    assert len(lines) == 2


def test_a_missing_limit_is_named() -> None:
    (line,) = mistakes(GOOD.replace(", max_value: 0.2", ""))
    assert line.endswith("kwargs: min_value and max_value cannot both be None")


def test_the_digest_says_what_is_asked_and_not_where_it_is_written() -> None:
    def read(text: str) -> Suite:
        return parse_suite("documents", text, "x")

    assert read(GOOD).digest == read("# comment\n\n" + GOOD).digest
    assert read(GOOD).digest != read(GOOD.replace("0.2", "0.3")).digest
    assert read(GOOD).digest != read(GOOD.replace("warning", "error")).digest


def test_a_value_that_only_a_run_could_give_is_a_mistake() -> None:
    text = GOOD.replace("max_value: 0.2", "max_value: {$PARAMETER: x}")
    assert "write the value itself" in mistakes(text)[0]


def test_a_suite_that_is_nested_too_deeply_is_a_mistake() -> None:
    assert "nested too deeply" in mistakes("[" * 5000)[0]


def test_a_wrong_severity_hides_no_other_mistake_of_its_entry() -> None:
    text = GOOD.replace("severity: warning", "severity: fatal")
    severity, column = mistakes(text.replace("near_duplicate_share", "near_duplicates"))
    assert severity == "suite.yaml:4: severity: found 'fatal'; allowed: 'error' or 'warning'"
    assert "kwargs.column: found 'near_duplicates', no column of the documents profile" in column
