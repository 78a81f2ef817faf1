"""Suites: what a stage's tables are held to, as YAML files that people read and edit.

``<folder>/<stage>.yaml`` → entries with their lines → ``Suite``. A stage without a file in the corpus's
folder keeps the built-in suite; an empty list asks nothing. What only Great Expectations can tell,
such as the arguments of an expectation, is checked by ``judge.check_suite``.

::

    - expectation: expect_column_values_to_be_between   # any of Great Expectations', in its spelling
      on: profile                                       # or sample; profile when left out
      kwargs: {column: near_duplicate_share, max_value: 0.2}
      severity: warning                                 # or error: what follows does not run
      description: Near duplicates push other passages off the list of hits.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from rag_assets.corpus.base import Group
from rag_assets.corpus.mistakes import line_of
from rag_assets.corpus.yaml_text import YamlMistake, parse_yaml, text_of
from rag_assets.errors import ConfigurationError
from rag_assets.quality.tables import COLUMNS, STAGES, Stage, Table, has_column
from rag_assets.store.digest import fingerprint

BUILT_IN = "built-in"
Severity = Literal["error", "warning"]
RESERVED = ("severity", "meta", "id", "batch_id", "result_format", "catch_exceptions")
"""Arguments of Great Expectations' that are ours to give."""


class Entry(Group):
    """One expectation."""

    expectation: str = Field(
        min_length=1, description="Name of an expectation, such as expect_column_max_to_be_between."
    )
    on: Table = Field(
        default="profile", description="The stage's profile (one row over everything) or its sample."
    )
    kwargs: dict[str, JsonValue] = Field(default_factory=dict, description="Its arguments.")
    severity: Severity = Field(description="error stops what follows; warning is shown.")
    description: str = Field(default="", description="Why; shown in the report.")

    def columns(self) -> Iterator[tuple[str, str]]:
        """(argument, column) of every column that the arguments name."""
        for name, value in self.kwargs.items():
            if name.startswith("column") and name != "column_index":
                yield from ((name, str(column)) for column in (value if isinstance(value, list) else [value]))


@dataclass(frozen=True)
class Suite:
    """What one stage is held to.

    Attributes:
        origin: the file, or ``built-in``.
        lines: line of each entry in its file.
    """

    stage: Stage
    entries: tuple[Entry, ...]
    origin: str
    lines: tuple[int, ...]

    @cached_property
    def digest(self) -> str:
        """Names what is asked, wherever it is written."""
        return fingerprint({"entries": [entry.model_dump(mode="json") for entry in self.entries]})

    def where(self, number: int) -> str:
        """Where an entry (from 0) stands, for messages."""
        return f"{self.origin}:{self.lines[number]}: {self.entries[number].expectation}"

    def columns(self, table: Table) -> list[str]:
        """The table's columns: all that are declared, and those that are made because an entry names them."""
        named = (column for entry in self.entries if entry.on == table for _, column in entry.columns())
        return list(dict.fromkeys((*COLUMNS[table][self.stage], *named)))


def load_suite(stage: Stage, folder: Path | None) -> Suite:
    """The suite of a stage: from the folder, or the built-in one.

    Raises:
        ConfigurationError: naming every mistake with file, line, field, what was found and what is allowed.
    """
    path = None if folder is None else folder / f"{stage}.yaml"
    try:
        if path is not None and path.is_file():
            return parse_suite(stage, text_of(path), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    return parse_suite(stage, built_in(stage), BUILT_IN)


def load_suites(folder: Path | None) -> dict[Stage, Suite]:
    """The suites of all stages. Raises ConfigurationError listing the mistakes of all files."""
    mistakes = _strangers(folder) if folder is not None else []
    suites: dict[Stage, Suite] = {}
    for stage in STAGES:
        try:
            suites[stage] = load_suite(stage, folder)
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return suites


def built_in(stage: Stage) -> str:
    """The text of the built-in suite."""
    return (files("rag_assets.quality") / "suites" / f"{stage}.yaml").read_text(encoding="utf-8")


def copy_built_in(folder: Path) -> list[Path]:
    """Write the built-in suites into a folder, to be edited. Files that are there stay. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {folder / f"{stage}.yaml": stage for stage in STAGES}
    written = [path for path in wanted if not path.exists()]
    for path in written:
        path.write_text(built_in(wanted[path]), encoding="utf-8")
    return written


def parse_suite(stage: Stage, text: str, origin: str) -> Suite:
    """A suite from the text of its file. Raises ConfigurationError as ``load_suite``."""
    try:
        values, document = parse_yaml(text)
    except YamlMistake as error:
        raise ConfigurationError(f"{origin}:{error.line}: {error}") from error
    if not isinstance(values, list):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise ConfigurationError(f"{origin}:1: found {found}; allowed: a list of expectations, [] for none")
    mistakes: list[str] = []
    entries: list[Entry] = []
    for number, value in enumerate(values):
        where = f"{origin}:{line_of(document, (number,))}"
        try:
            entry = Entry.model_validate(value)
        except ValidationError as error:
            mistakes += [
                f"{origin}:{line_of(document, (number, *problem['loc']))}: {_explained(problem)}"
                for problem in error.errors()
            ]
            rest = _without(value, error)
            mistakes += [] if rest is None else [f"{where}: {text}" for text in _problems(rest, stage)]
            continue
        mistakes += [f"{where}: {entry.expectation}: {problem}" for problem in _problems(entry, stage)]
        entries.append(entry)
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    lines = tuple(line_of(document, (number,)) for number in range(len(entries)))
    return Suite(stage, tuple(entries), origin, lines)


def _without(value: Any, error: ValidationError) -> Entry | None:
    """An entry with its wrong severity corrected, to look at the rest of it; None where more is wrong."""
    if not isinstance(value, dict) or any(problem["loc"] != ("severity",) for problem in error.errors()):
        return None
    return Entry.model_validate({**value, "severity": "error"})


def _problems(entry: Entry, stage: Stage) -> Iterator[str]:
    for name in entry.kwargs:
        if name in RESERVED:
            yield f"kwargs.{name}: not allowed here; severity stands beside kwargs"
    for argument, column in entry.columns():
        if not has_column(entry.on, stage, column):
            allowed = COLUMNS[entry.on][stage]
            other: Table = "sample" if entry.on == "profile" else "profile"
            hint = (
                f"it is a column of 'on: {other}'; "
                if has_column(other, stage, column)
                else _close(column, allowed)
            )
            found = f"found {column!r}, no column of the {stage} {entry.on}"
            yield f"kwargs.{argument}: {found}; {hint}allowed: {', '.join(allowed)}"


def _explained(problem: ErrorDetails) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "entry"
    match problem["type"]:
        case "extra_forbidden":
            return f"{field}: unknown field; {_close(field, Entry.model_fields)}allowed: {', '.join(Entry.model_fields)}"
        case "missing":
            return f"{field}: missing; this field is required"
        case "literal_error":
            return f"{field}: found {problem['input']!r}; allowed: {problem['ctx']['expected']}"
    allowed = problem["msg"].removeprefix("Input should be ")
    return f"{field}: found {problem['input']!r}; allowed: {allowed}"


def _strangers(folder: Path) -> list[str]:
    """A file whose name is no stage's would never be read."""
    if not folder.is_dir():
        return [f"{folder}: no such folder; quality.suites in the corpus file names it"]
    allowed = ", ".join(f"{stage}.yaml" for stage in STAGES)
    return [
        f"{path}: no suite of that name is read; allowed: {allowed}"
        for path in sorted(folder.iterdir())
        if path.suffix in (".yaml", ".yml") and (path.suffix == ".yml" or path.stem not in STAGES)
    ]


def _close(name: str, allowed: Any) -> str:
    close = difflib.get_close_matches(name, list(allowed), n=1)
    return f"did you mean {close[0]!r}? " if close else ""
