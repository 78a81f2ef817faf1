"""Each kind of object, and each thing that may happen to it: commands answer or say what helps, and a run mends it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tenacity import wait_none
from typer.testing import CliRunner, Result

from rag_assets import open_published
from rag_assets.cli import app
from rag_assets.errors import RagAssetsError
from rag_assets.store import files
from rag_assets_tests.damage.kinds import DAMAGES, KINDS, STRAY, STRAYS, Kind, applies, files_of
from rag_assets_tests.damage.small_store import ENVIRONMENT, SmallStore, build
from rag_assets_tests.invalidation.receiver import Receiver

LOOKS = (
    ("status", "handbook", "--json"),
    ("history", "handbook", "--json"),
    ("plan", "handbook", "--json"),
    ("query", "handbook", "which words?", "--json"),
    ("invalidation", "status", "handbook", "--json"),
    ("inbox", "list", "handbook", "--json"),
)
NEXT_STEP = re.compile(r"\brun\b|delete|put (it|\S+) back|sent? again|go to another|name another")
WITH_ERASED = 1
"""Publication that holds a document which was erased since: nothing goes back to it."""
OF_THIS_STORE = [kind for kind in KINDS if kind.elsewhere is None]
FEW = {("tag of a publication", "empty"), ("snapshot", "empty"), ("shard of embeddings", "truncated")}
"""Cells that ``make test`` tries."""
SAMPLE = {
    ("bucket of a snapshot", "empty"),
    ("candidate", "empty"),
    ("publication", "without its fields"),
    ("manifest", "empty"),
    ("search index", "truncated"),
    ("report", "of other types"),
    ("erasures", "empty"),
    ("inbox", "truncated"),
    ("snapshot", STRAY),
    ("shard of chunks", STRAY),
}
"""Cells that ``make test-slow`` tries; ``make soak`` tries all others."""


@pytest.fixture(scope="module", autouse=True)
def receiver() -> Iterator[Receiver]:
    with pytest.MonkeyPatch.context() as patch, Receiver().running() as server:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setattr("rag_assets.invalidation.telling.PAUSES", wait_none())
        yield server


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[SmallStore]:
    """Three publications; do not change them."""
    made = build(tmp_path_factory.mktemp("damage"), receiver.url)
    with closing(sqlite3.connect(made.folder / "inbox.sqlite")) as open_inbox:
        # While somebody has the inbox open, SQLite keeps its log beside it.
        open_inbox.execute("SELECT count(*) FROM rag_inbox_changes").fetchone()
        yield made


@pytest.fixture(scope="module")
def expected(original: SmallStore) -> pl.DataFrame:
    """What readers see of it."""
    return original.workspace.rows()


@pytest.fixture
def store(original: SmallStore, tmp_path: Path) -> SmallStore:
    """A copy."""
    files.warn.cache_clear()
    return original.copied(tmp_path / "store")


def cells() -> list[Any]:
    found = []
    for kind in OF_THIS_STORE:
        for damage in (*DAMAGES, STRAY):
            found.append(pytest.param(kind, damage, id=f"{kind.name} {damage}", marks=group(kind, damage)))
    return found


def group(kind: Kind, damage: str) -> tuple[pytest.MarkDecorator, ...]:
    cell = (kind.name, damage)
    if cell in FEW:
        return ()
    return (pytest.mark.slow,) if cell in SAMPLE else (pytest.mark.soak,)


def test_every_object_of_a_store_is_of_a_kind_that_is_damaged_here(original: SmallStore) -> None:
    for path in files_of(original.folder):
        kinds = [kind.name for kind in KINDS if kind.takes(path, original.folder)]
        assert len(kinds) == 1, f"{path.relative_to(original.folder)}: kinds {kinds}"
    for kind in OF_THIS_STORE:
        assert kind.files(original.folder), f"the small store has no {kind.name}"


@pytest.mark.parametrize(("kind", "damage"), cells())
def test_damage_is_no_outage_and_a_run_mends_it(
    store: SmallStore, expected: pl.DataFrame, kind: Kind, damage: str
) -> None:
    paths = kind.files(store.folder)
    if damage != STRAY and not applies(damage, paths[0]):
        pytest.skip("it has no fields")
    harm(paths, damage)
    for arguments in LOOKS:
        answers_or_says_what_helps(command(store, *arguments))
    if kind.before is not None:
        kind.before(store)
    try:
        store.run("after")
    except RagAssetsError as error:
        assert kind.cure is not None, f"a run mends no {kind.name}: {error}"
        said, cure = kind.cure
        assert re.search(said, str(error)), error
        cure(store, paths)
        store.run("cured")
    assert store.workspace.rows().equals(expected)
    for arguments in LOOKS:
        found = command(store, *arguments)
        assert found.exit_code == 0, f"{arguments[0]} after a run: {found.output}"
    others = {one.number for one in store.history()[:-1]} - {WITH_ERASED}
    gone_back = command(store, "rollback", "handbook", "--to", str(min(others)))
    assert gone_back.exit_code == 0, gone_back.output


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "damage"), cells())
def test_a_rollback_on_a_damaged_store_works_or_says_what_helps(
    store: SmallStore, kind: Kind, damage: str
) -> None:
    paths = kind.files(store.folder)
    if damage != STRAY and not applies(damage, paths[0]):
        pytest.skip("it has no fields")
    harm(paths, damage)
    found = command(store, "rollback", "handbook", "--to", "2")
    answers_or_says_what_helps(found)
    if found.exit_code == 0:
        assert open_published("handbook", str(store.folder)).publication.kind == "rollback"


def harm(paths: list[Path], damage: str) -> None:
    """Do damage to some files."""
    for path in paths:
        if damage == STRAY:
            for name in STRAYS:
                (path.parent / name).write_bytes(b"stray")
            continue
        data = DAMAGES[damage](path.read_bytes())
        path.unlink() if data is None else path.write_bytes(data)


def command(store: SmallStore, *arguments: str) -> Result:
    """``rag-assets`` on a store."""
    environ = {"RAG_CORPORA": str(store.workspace.path.parent), "RAG_STORE": str(store.folder)}
    return CliRunner().invoke(app, arguments, env=environ)


def answers_or_says_what_helps(found: Result) -> None:
    """A command ended well, or with a message of this package that names a next step."""
    assert isinstance(found.exception, SystemExit | None), f"{found.exception!r} left the command line"
    assert "Traceback" not in found.output
    if found.exit_code:
        assert NEXT_STEP.search(found.stderr), f"no next step: {found.stderr}"
