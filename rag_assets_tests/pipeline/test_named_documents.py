"""Runs that look only at the documents that are named: the same state as a run that lists everything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets.ingest.sources import FolderSource
from rag_assets.store.erasures import Demand, ErasureLog
from rag_assets.store.snapshots import SnapshotStore
from rag_assets_tests.workspace import Workspace, document, update_snapshot

NAMES = ("a.md", "b.md", "deep/c.md", "deep/d.txt", "e.xyz", "out.md")
LONG_AGO = 1_700_000_000
VISIBLE = ("document_id", "uri", "format", "content_key", "text_key", "title", "metadata", "status", "reason")
_ticks = count()


def fresh(root: Path, name: str) -> Workspace:
    return Workspace(
        root / name,
        str(root / name / "store"),
        sources=[{"type": "folder", "path": str(root / "documents"), "exclude": ["out.md"]}],
        parsing={"workers": 1, "max_quarantined_share": 1},
    )


def visible(workspace: Workspace) -> tuple[str, pl.DataFrame]:
    snapshots = SnapshotStore(workspace.objects, workspace.name)
    latest = snapshots.latest()
    return latest.digest, snapshots.rows(latest).select(VISIBLE)


def edit(folder: Path, name: str, seed: int | None) -> None:
    path = folder / name
    if seed is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(seed, sections=1))
    os.utime(path, (LONG_AGO + next(_ticks),) * 2)


edits = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | st.integers(0, 2)), max_size=6)


@pytest.fixture
def places() -> Iterator[Iterator[int]]:
    yield count()


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(edits, min_size=1, max_size=3))
def test_naming_what_changed_gives_the_state_that_listing_everything_gives(
    tmp_path: Path, places: Iterator[int], rounds: list[list[tuple[str, int | None]]]
) -> None:
    root = tmp_path / str(next(places))
    named, whole = fresh(root, "named"), fresh(root, "whole")
    edit(root / "documents", "first.md", 9)
    for workspace in (named, whole):
        update_snapshot(workspace.pipeline()[0], None)
    for changes in rounds:
        for name, seed in changes:
            edit(root / "documents", name, seed)
        update_snapshot(named.pipeline()[0], [name for name, _ in changes])
        update_snapshot(whole.pipeline()[0], None)
        assert visible(named)[0] == visible(whole)[0]
        assert visible(named)[1].equals(visible(whole)[1])
    # The nightly run finds nothing to do.
    before = SnapshotStore(named.objects, named.name).latest()
    snapshot, counts = update_snapshot(named.pipeline()[0], None)
    assert (snapshot, counts.read) == (before, 0)


def test_what_is_not_named_is_neither_listed_nor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(5):
        workspace.write(f"{number}.md", document(number))
    workspace.run()
    workspace.write("1.md", document(11))
    workspace.write("2.md", document(12))

    def listed(self: FolderSource) -> None:
        raise AssertionError("the source was listed")

    monkeypatch.setattr(FolderSource, "list", listed)
    _, counts = update_snapshot(workspace.pipeline()[0], ["1.md", "nowhere.md"])
    assert (counts.listed, counts.read, counts.changed) == (1, 1, 1)


def test_the_first_run_lists_everything_whatever_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("a.md", document(1))
    workspace.write("b.md", document(2))
    snapshot, _ = update_snapshot(workspace.pipeline()[0], ["a.md"])
    assert snapshot.documents == 2


def test_limits_of_parsing_are_applied_by_the_next_whole_run_after_named_ones(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), parsing={"max_quarantined_share": 1})
    workspace.write("long.md", document(1))
    workspace.write("a.md", "short")
    tight = {"max_bytes": 100, "max_quarantined_share": 1}
    workspace.configure(parsing=tight)
    assert update_snapshot(workspace.pipeline()[0], None)[0].quarantined == 1
    workspace.configure(parsing={"max_quarantined_share": 1})
    assert update_snapshot(workspace.pipeline()[0], ["a.md"])[0].quarantined == 1
    assert update_snapshot(workspace.pipeline()[0], None)[0].quarantined == 0


@pytest.mark.parametrize("named", [True, False])
def test_an_erased_document_stays_away_whatever_its_source_holds(tmp_path: Path, named: bool) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("a.md", document(1))
    workspace.write("b.md", document(2))
    workspace.run()
    log = ErasureLog(workspace.objects, workspace.name)
    assert log.commit({"a.md": Demand("request 7", datetime.now(UTC), 1)}) == 1
    workspace.write("a.md", document(3))
    pipeline, _ = workspace.pipeline()
    assert update_snapshot(pipeline, ["a.md"] if named else None)[0].documents == 1
    assert log.since(0) == ["a.md"]
    log.commit({}, ["a.md"])
    assert update_snapshot(pipeline, ["a.md"] if named else None)[0].documents == 2
    assert log.since(0) == ["a.md"]
