"""A power cut leaves on the disk what was flushed, and nothing else: what is announced never rests on more."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from rag_assets import open_published
from rag_assets.publication.publish import rollback
from rag_assets.store.erasures import ErasureLog
from rag_assets_tests.pipeline.test_events import Place, change
from rag_assets_tests.workspace import Workspace, document


class Disk:
    """What has reached the disk: files as they were flushed, and the names in folders as they were flushed."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._files: dict[Path, tuple[int, int]] = {}
        self._folders: dict[Path, set[str]] = {}
        self.flushed: Counter[Path] = Counter()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._record)

    def _record(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            self._folders[path] = {entry.name for entry in path.iterdir()}
        else:
            self._files[path] = _state(path)
            self.flushed[path] += 1

    def cut_power(self, survivor: Path) -> None:
        """A copy of the store as the machine finds it again: what was not flushed is empty, or not there."""
        shutil.copytree(self._root, survivor)
        for folder, _, names in os.walk(self._root, topdown=False):
            known = self._folders.get(Path(folder), set())
            for name in names:
                path = Path(folder, name)
                copy = survivor / path.relative_to(self._root)
                if name.startswith("inbox.sqlite"):
                    continue  # SQLite flushes by itself, from C
                if name not in known:
                    copy.unlink()
                elif self._files.get(path) != _state(path):
                    copy.write_bytes(b"")


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(4):
        made.write(f"d{number}.md", document(number, 2))
    return made


def after_power_cut(workspace: Workspace, disk: Disk) -> Workspace:
    """The same corpus on what is left of its store."""
    survivor = Path(workspace.store).with_name("survivor")
    disk.cut_power(survivor)
    workspace.store = str(survivor)
    return workspace


def test_a_publication_is_whole_after_a_power_cut(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(Path(workspace.store), monkeypatch)
    workspace.run()
    workspace.write("d1.md", document(9, 2))
    workspace.run()
    rows = workspace.rows()
    found = after_power_cut(workspace, disk)
    assert found.rows().equals(rows)
    assert open_published(found.name, found.store).publication.number == 2
    assert found.run() == [], "no vector was lost"
    assert found.rows().equals(rows)


def test_a_rollback_is_whole_after_a_power_cut(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(Path(workspace.store), monkeypatch)
    workspace.run()
    workspace.write("d1.md", document(9, 2))
    workspace.run()
    rollback(workspace.objects, workspace.name, 1, reason="test", by="tests")
    rows = workspace.rows()
    found = after_power_cut(workspace, disk)
    assert open_published(found.name, found.store).publication.kind == "rollback"
    assert found.rows().equals(rows)


def test_each_file_is_flushed_once_before_the_claim(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(Path(workspace.store), monkeypatch)
    workspace.run()
    flushed = Counter(disk.flushed)
    twice = {path.parent.name for path, count in flushed.items() if count > 1}
    assert twice <= {"tags"}, "they are few, and written after the claim"
    workspace.run()
    assert disk.flushed == flushed, "a run that publishes nothing waits for no disk"


def test_what_an_applied_event_did_is_there_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    disk = Disk(Path(place.workspace.store), monkeypatch)
    place.accept(change("e1", "cms/x.md", "created", 1, "Penguins swim."))
    place.accept(change("e2", "cms/y.md", "created", 1, "Erased."), change("e3", "cms/y.md", "erase", 2))
    place.apply()
    assert place.states()["e1"] == "applied"
    after_power_cut(place.workspace, disk)
    place.run()
    assert place.published() == {"cms/x.md": "Penguins swim."}
    assert ErasureLog(place.workspace.objects, "handbook").erased() == {"cms/y.md"}
