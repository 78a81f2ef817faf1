"""The map of folders in CONTRIBUTING.md is held to the packages, and to the contract on the direction of imports."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rag_assets"
ROW = re.compile(r"^\| `([a-z_/]+)` \| ([^|]+) \| ([^|]*) \|$", re.MULTILINE)
TABLE = {
    name: (holds.strip(), knows.strip())
    for name, holds, knows in ROW.findall((ROOT / "CONTRIBUTING.md").read_text())
}
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def sources() -> Iterator[tuple[str, Path]]:
    """(name in the table, file with the docstring) of every package and of the modules beside them."""
    for path in PACKAGE.rglob("__init__.py"):
        if path.parent != PACKAGE:
            yield path.parent.relative_to(PACKAGE).as_posix(), path
    for path in PACKAGE.glob("*.py"):
        if path.name != "__init__.py":
            yield path.stem, path


def paragraphs(path: Path) -> list[str]:
    """The docstring of a module, as the table writes it."""
    text = (ast.get_docstring(ast.parse(path.read_text())) or "").replace("``", "`")
    return [" ".join(paragraph.split()).removesuffix(".") for paragraph in text.split("\n\n")]


def positions(contract: str, below: str = "") -> list[set[int]]:
    """Places in the table of a contract's layers, the lowest first; modules inside a folder are not in the table."""
    names = list(TABLE)
    return [{names.index(f"{below}{name}") for name in layer} for layer in layers(contract, below)]


def layers(contract: str, below: str) -> list[list[str]]:
    """What a contract's layers hold, the lowest first: without the modules inside a folder, which no table names."""
    found = [layer.split(" | ") for layer in reversed(CONTRACTS[contract]["layers"])]
    named = [[name for name in one if not below or (PACKAGE / below / name).is_dir()] for one in found]
    return [layer for layer in named if layer]


def test_the_table_names_every_folder_and_every_module_beside_them() -> None:
    assert sorted(TABLE) == sorted(name for name, _ in sources())


@pytest.mark.parametrize(("name", "path"), sorted(sources()), ids=lambda value: str(value))
def test_the_table_says_of_a_folder_what_its_docstring_says(name: str, path: Path) -> None:
    first, *others = paragraphs(path)
    limits = [paragraph for paragraph in others if paragraph.startswith("Knows ")]
    assert TABLE[name] == (first, "".join(limits).removeprefix("Knows "))
    assert len(limits) == (path.name == "__init__.py"), "says once what it knows and what it must not know"


@pytest.mark.parametrize(
    ("contract", "below"), [("direction", ""), ("ingest", "ingest/"), ("events", "events/")]
)
def test_the_table_has_the_order_of_the_contract(contract: str, below: str) -> None:
    found = positions(contract, below)
    assert all(max(lower) < min(upper) for lower, upper in pairwise(found))


def test_the_folders_of_evaluation_have_the_order_of_the_contract() -> None:
    found = [f"evaluation/{name}" for layer in layers("evaluation", "evaluation/") for name in layer]
    assert [name for name in TABLE if name.startswith("evaluation/")] == found
