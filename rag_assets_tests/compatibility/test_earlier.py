"""A store, corpus file, inbox and Dagster home of an earlier version work on, and nothing is made a second time."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from rag_assets import open_published
from rag_assets.cli import app
from rag_assets_tests.compatibility.make import ARCHIVE, environment, looked_at


class Earlier:
    """What the earlier version made, in a folder, under the commands of today."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def call(self, *arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, env=environment(self.root))
        assert result.exit_code == 0, result.output
        return result.stdout

    def rows(self) -> Counter[str]:
        """Rows of the content stores, by what was made and how: each row was work once."""
        found: Counter[str] = Counter()
        for path in (self.root / "store" / "content").rglob("*.parquet"):
            kind, fingerprint = path.relative_to(self.root / "store" / "content").parts[:2]
            found[f"{kind}/{fingerprint}"] += pl.scan_parquet(path).select(pl.len()).collect().item()
        return found

    def documents(self) -> set[str]:
        """What readers see."""
        table = open_published("handbook", str(self.root / "store")).table()
        return set(table.to_lance().to_table(columns=["document_id"])["document_id"].to_pylist())


@pytest.fixture
def earlier(tmp_path: Path) -> Earlier:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return Earlier(tmp_path)


def test_commands_answer_what_the_earlier_version_answered(earlier: Earlier) -> None:
    expected = json.loads((earlier.root / "answers.json").read_text())
    assert looked_at(earlier.call, earlier.root) == expected


def test_the_next_run_makes_only_what_is_new(earlier: Earlier) -> None:
    before = earlier.rows()
    assert json.loads(earlier.call("run", "handbook", "--json"))["publication"] == 5
    made = earlier.rows() - before
    assert {name.split("/")[0]: count for name, count in made.items()} == dict.fromkeys(
        ("documents", "texts", "chunks", "embeddings"), 1
    ), made
    assert earlier.rows().keys() == before.keys()
    assert earlier.documents() == {
        "owls.md",
        "penguins.html",
        "storks.txt",
        "cms/gulls",
        "cms/terns",
    }
    before = earlier.rows()
    assert json.loads(earlier.call("run", "handbook", "--json"))["publication"] == 5
    assert earlier.rows() == before


def test_what_the_earlier_version_published_can_be_gone_back_to(earlier: Earlier) -> None:
    seen = earlier.documents()
    earlier.call("rollback", "handbook", "--to", "2", "--reason", "as it was")
    assert json.loads(earlier.call("status", "handbook", "--json"))["publication"] == 5
    found = json.loads(earlier.call("query", "handbook", "What do owls eat?", "--json"))
    assert "voles" in json.dumps(found)
    assert earlier.documents() == seen
