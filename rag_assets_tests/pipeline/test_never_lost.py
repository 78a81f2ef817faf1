"""Promise 4: kill -9 at any point; the next run ends like a clean one and redoes at most one batch."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_assets import open_published
from rag_assets.errors import NotPublished
from rag_assets_tests.workspace import Workspace, document

SHARD = 16
SETTINGS: dict[str, Any] = {
    "embedder": {"type": "static", "shard_chunks": SHARD},
    "chunking": {"max_tokens": 160},
    "parsing": {"workers": 1},
}
DOCUMENTS = 24


class Crasher:
    """The process that runs corpora and dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "rag_assets_tests.pipeline.crashing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        assert self._answer() == {"ready": True}

    def run(self, root: Path, store: str, **kill: Any) -> dict[str, Any]:
        environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        command = {"root": str(root), "store": store, "settings": SETTINGS, "environ": environ, **kill}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    found = Crasher()
    yield found
    found.close()


def populate(root: Path, store: str, edited: bool) -> Workspace:
    workspace = Workspace(root, store, **SETTINGS)
    for number in range(DOCUMENTS):
        workspace.write(f"d{number}.md", document(number + (100 if edited and number < 6 else 0)))
    if edited:
        (workspace.documents / "d7.md").rename(workspace.documents / "moved.md")
        (workspace.documents / "d8.md").unlink()
    return workspace


def visible(workspace: Workspace) -> list[tuple[str, str]] | None:
    """What a reader sees, or None before the first publication."""
    try:
        open_published(workspace.name, workspace.store)
    except NotPublished:
        return None
    rows = workspace.rows(vectors=False)
    return list(zip(rows["chunk_id"], rows["text"], strict=True))


def crash_and_recover(crasher: Crasher, root: Path, store: str, seed: int) -> int:
    """Kill runs of a first build and of an update until one ends. Returns how often it was killed."""
    chance = random.Random(seed)
    kills = 0
    allowed: list[Any] = [None]
    for edited in (False, True):
        workspace = populate(root, store, edited)
        clean = populate(root / "clean", str(root / f"clean-store-{edited}"), edited)
        clean.run()
        expected = visible(clean)
        for attempt in range(8):
            kill: dict[str, Any] = {}
            if attempt < 4:
                kill = (
                    {"at_write": chance.randint(1, 30)}
                    if chance.random() < 0.5
                    else {"after": chance.uniform(0.3, 3)}
                )
            answer = crasher.run(root, store, **kill)
            assert answer["code"] == 0, "a run after a crash must not fail"
            assert visible(workspace) in (*allowed, expected), (
                "a reader saw something that was never published"
            )
            if not answer["signal"]:
                break
            kills += 1
        assert visible(workspace) == expected
        assert workspace.rows().equals(clean.rows())
        allowed = [expected]
    log = root / "embedded.log"
    repeated = sum(count - 1 for count in Counter(log.read_text().splitlines()).values())
    assert repeated <= kills * SHARD, "a crash costs at most the batch in flight"
    return kills


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_is_resumed(crasher: Crasher, tmp_path: Path, seed: int) -> None:
    crash_and_recover(crasher, tmp_path, str(tmp_path / "store"), seed)


def test_a_killed_run_is_resumed_on_s3(crasher: Crasher, tmp_path: Path, s3_store_url: str) -> None:
    crash_and_recover(crasher, tmp_path, s3_store_url, 100)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 225))
def test_many_killed_runs_are_resumed(crasher: Crasher, tmp_path: Path, seed: int) -> None:
    crash_and_recover(crasher, tmp_path, str(tmp_path / "store"), seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300, 308))
def test_many_killed_runs_are_resumed_on_s3(
    crasher: Crasher, tmp_path: Path, s3_store_url: str, seed: int
) -> None:
    crash_and_recover(crasher, tmp_path, s3_store_url, seed)
