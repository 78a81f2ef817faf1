"""Promise 4: kill -9 at any point; the next run ends like a clean one and redoes at most one batch."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterRunStatus

from rag_assets import open_published
from rag_assets.errors import NotPublished
from rag_assets.evaluation.report.files import read_report
from rag_assets.evaluation.report.report import Report
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.orchestration.commands import Home
from rag_assets_tests.workspace import Workspace, document

SHARD = 16
SETTINGS: dict[str, Any] = {
    "embedder": {"type": "static", "shard_chunks": SHARD},
    "chunking": {"max_tokens": 160},
    "parsing": {"workers": 1},
}
DOCUMENTS = 24
QUESTIONS, BATCH = 14, 4


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

    def run(
        self,
        root: Path,
        store: str,
        settings: Mapping[str, Any] = SETTINGS,
        home: Home | None = None,
        **kill: Any,
    ) -> dict[str, Any]:
        environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        if home is not None:
            environ["DAGSTER_HOME"] = str(home.folder)
        command = {"root": str(root), "store": store, "settings": settings, "environ": environ, **kill}
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


def populate(root: Path, store: str, edited: bool, settings: Mapping[str, Any] = SETTINGS) -> Workspace:
    workspace = Workspace(root, store, **settings)
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


def home_of(root: Path, seed: int) -> Home | None:
    """Even seeds go through the command line, on a Dagster home that outlives what is killed; the others do without."""
    return Home(root) if seed % 2 == 0 else None


def crash_and_recover(
    crasher: Crasher, root: Path, store: str, seed: int, settings: Mapping[str, Any] = SETTINGS
) -> int:
    """Kill runs of a first build and of an update until one ends. Returns how often it was killed."""
    home = home_of(root, seed)
    chance = random.Random(seed)
    kills = 0
    allowed: list[Any] = [None]
    for edited in (False, True):
        workspace = populate(root, store, edited, settings)
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
            answer = crasher.run(root, store, settings, home, **kill)
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
    if home is not None:
        assert set(home.statuses()) <= {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE}
        assert home.slots() == []
    log = root / "embedded.log"
    repeated = sum(count - 1 for count in Counter(log.read_text().splitlines()).values())
    assert repeated <= kills * SHARD, "a crash costs at most the batch in flight"
    return kills


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_a_killed_run_is_resumed(crasher: Crasher, tmp_path: Path, seed: int) -> None:
    crash_and_recover(crasher, tmp_path, str(tmp_path / "store"), seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
def test_a_killed_stream_is_resumed(crasher: Crasher, tmp_path: Path, seed: int) -> None:
    """Parsing, chunking and embedding die at once; the clean run it is held against goes stage by stage."""
    crash_and_recover(crasher, tmp_path, str(tmp_path / "store"), seed, {**SETTINGS, "engine": "stream"})


@pytest.mark.slow
def test_a_killed_run_is_resumed_on_s3(crasher: Crasher, tmp_path: Path, s3_store_url: str) -> None:
    crash_and_recover(crasher, tmp_path, s3_store_url, 100)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_evaluation_is_resumed(crasher: Crasher, tmp_path: Path, seed: int) -> None:
    """Answers and judgements: the same report as a clean run's, and at most one batch per crash asked again."""
    chance, kills, home = random.Random(seed), 0, home_of(tmp_path, seed)
    with FaultyServer(lambda call, request: (200, said(request))).running() as server:
        settings = {
            **SETTINGS,
            "evaluation": {
                "gold": "gold.jsonl",
                "answers": {"generator": {"type": "openai", "url": server.url, "model": "m"}},
            },
        }
        workspace = ask(tmp_path, settings)
        for attempt in range(9):
            kill = {"at_write": chance.randint(8, 40)} if attempt < 6 else {}
            answer = crasher.run(tmp_path, workspace.store, settings, home, batch=BATCH, **kill)
            assert answer["code"] == 0, "a run after a crash must not fail"
            if not answer["signal"]:
                break
            kills += 1
        assert kills > 0
        assert len(server.requests) <= QUESTIONS + kills * BATCH
        clean = ask(tmp_path / "clean", settings)
        clean.run()
        assert exact(workspace) == exact(clean)
        # The model rounds differently with other neighbours in its batch.
        assert means(workspace) == pytest.approx(means(clean), abs=0.005)


def said(request: dict[str, Any]) -> dict[str, Any]:
    """The beginning of the first passage."""
    passage = request["messages"][1]["content"].split("[1]")[1]
    return {"answer": " ".join(passage.split()[:12]), "citations": [1], "abstained": False}


def ask(root: Path, settings: Mapping[str, Any]) -> Workspace:
    """A corpus and a question on each of its documents."""
    workspace = Workspace(root, str(root / "store"), **settings)
    gold = []
    for number in range(QUESTIONS):
        text = document(number)
        workspace.write(f"d{number}.md", text)
        quote = " ".join(text.split()[-12:])
        gold.append({"id": str(number), "question": f"What of {quote}?", "documents": [f"d{number}.md"]})
    (workspace.path.parent / "gold.jsonl").write_text("".join(json.dumps(one) + "\n" for one in gold))
    return workspace


def reported(workspace: Workspace) -> Report:
    head = workspace.pipeline()[0].log.head()
    assert head is not None
    found = read_report(workspace.objects, head.report)
    assert found is not None
    return found[0]


def exact(workspace: Workspace) -> tuple[Any, ...]:
    """What a report says apart from scores."""
    report = reported(workspace)
    answers = {
        one.question_id: (
            one.answer,
            one.abstained,
            one.failure,
            [(p.chunk_id, p.cited) for p in one.contexts],
        )
        for one in report.answers
    }
    return (
        answers,
        report.verdict.passed,
        report.judged,
        {one.question_id: one.stage for one in report.diagnoses},
    )


def means(workspace: Workspace) -> dict[str, float]:
    return {f"{row.metric} {row.mode} {row.tag}": row.value for row in reported(workspace).metrics}


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
