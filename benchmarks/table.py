"""What a benchmark is and how its rows become Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        key: field of a row.
        title: head of the column, with its unit.
        format: format specification for numbers; texts are shown as they are, None as a dash.
    """

    key: str
    title: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a benchmark: name (key of its rows), columns, and what stands above and below it."""

    name: str
    columns: tuple[Column, ...]
    above: str = ""
    below: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how large to measure.

    Attributes:
        data: folder with the real data (``../shared/data``).
        scratch: empty folder, removed afterwards.
        quick: tiny sizes, to see that a benchmark works; its figures say nothing.
    """

    data: Path
    scratch: Path
    quick: bool


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark: what it measures, how, and how its rows are shown."""

    name: str
    title: str
    text: str
    tables: tuple[Table, ...]
    measure: Callable[[Setting], Mapping[str, Sequence[Row]]]


def markdown(table: Table, rows: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown; columns that no row has are left out."""
    columns = [column for column in table.columns if any(column.key in row for row in rows)]
    numeric = [any(isinstance(row.get(column.key), int | float) for row in rows) for column in columns]
    lines = [
        "| " + " | ".join(column.title for column in columns) + " |",
        "|" + "|".join("---:" if number else "---" for number in numeric) + "|",
        *("| " + " | ".join(_cell(row.get(column.key), column) for column in columns) + " |" for row in rows),
    ]
    return "\n\n".join(part for part in (table.above, "\n".join(lines), table.below) if part)


def _cell(value: Any, column: Column) -> str:
    if value is None or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return format(value, column.format)
    if isinstance(value, Mapping):
        value = ", ".join(f"{count} {name}" for name, count in value.items())
    return str(value).replace("|", "\\|")
