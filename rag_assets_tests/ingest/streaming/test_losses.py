"""What is lost while a cluster works costs the batches in flight and nothing else: actors, machines, the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from rag_assets_tests.ingest.streaming.conftest import add_gpu_machine
from rag_assets_tests.ingest.streaming.corpora import (
    aged,
    contents,
    fill,
    on,
    pipeline,
    same,
    workspace,
    written,
)
from rag_assets_tests.workspace import Workspace, run_stages

pytestmark = pytest.mark.xdist_group("ray")  # two clusters on one machine want one port
SHARD = 16
SETTINGS: dict[str, Any] = {
    "embedder": {"type": "static", "shard_chunks": SHARD},
    "chunking": {"max_tokens": 96},
}
DOCUMENTS = 120
IN_FLIGHT = 2 * 4 * SHARD  # embedding actors, batches that each has at hand


class Once:
    """Progress that does something when the first documents are through."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._act is not None and 0 < done < total:
            act, self._act = self._act, None
            act()

    @property
    def done(self) -> bool:
        return self._act is None


def twins(root: Path) -> tuple[Workspace, Workspace]:
    """A corpus that one machine has run, and one with the same documents for the cluster."""
    local, ray = workspace(root, "local", **SETTINGS), workspace(root, "ray", **SETTINGS)
    for found in (local, ray):
        fill(found, DOCUMENTS)
        aged(found)
    run_stages(pipeline(local))
    return local, ray


def actors(cluster: Any, kind: str) -> list[psutil.Process]:
    """Processes of the actors that run one operator."""
    machines = [cluster.head_node, *cluster.worker_nodes]
    raylets = [psutil.Process(machine.all_processes["raylet"][0].process.pid) for machine in machines]
    found = [child for raylet in raylets for child in raylet.children(recursive=True)]
    return [process for process in found if f"MapBatches({kind})" in " ".join(process.cmdline())]


def kill_one(cluster: Any, kind: str) -> None:
    found = actors(cluster, kind)
    assert found, f"no actor runs {kind}"
    found[0].send_signal(signal.SIGKILL)


def check(local: Workspace, ray: Workspace, facts: dict[str, Any]) -> None:
    """The results of one machine, counted once, and little of it made twice."""
    same(local, ray)
    expected = pipeline(local).runs.last()["stages"]
    assert facts["documents"]["parsed"] == expected["documents"]["parsed"]
    made = [facts[stage]["ahead"]["embedded"] for stage in ("documents", "chunks")]
    assert sum(made) + facts["embeddings"]["embedded"] == expected["embeddings"]["embedded"]
    redone = written(ray, "embeddings") - sum(
        rows.height for name, rows in contents(ray).items() if name.startswith("embeddings")
    )
    assert redone <= IN_FLIGHT


@pytest.mark.slow
def test_an_embedding_actor_that_is_killed_costs_its_batches(cluster: Any, tmp_path: Path) -> None:
    local, ray = twins(tmp_path)
    killing = Once(lambda: kill_one(cluster, "Embed"))
    stages = pipeline(ray, progress=killing)
    run_stages(stages)
    assert killing.done
    check(local, ray, stages.runs.last()["stages"])


@pytest.mark.slow
def test_a_parsing_actor_that_is_killed_costs_its_batches(cluster: Any, tmp_path: Path) -> None:
    local, ray = twins(tmp_path)
    done: list[int] = []

    def kill_early() -> None:
        while not written(ray, "documents"):
            time.sleep(0.005)
        kill_one(cluster, "Prepare")
        done.append(written(ray, "chunks"))

    killer = Thread(target=kill_early)
    killer.start()
    stages = pipeline(ray)
    run_stages(stages)
    killer.join()
    assert done[0] < DOCUMENTS, "it was killed too late to be missed"
    check(local, ray, stages.runs.last()["stages"])


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_its_batches(cluster: Any, tmp_path: Path) -> None:
    local, ray = twins(tmp_path)
    # All GPUs are on machines that come and go; the one that is lost works from the beginning.
    (first,) = cluster.worker_nodes

    def lose() -> None:
        add_gpu_machine(cluster)
        cluster.remove_node(first, allow_graceful=False)

    losing = Once(lose)
    stages = pipeline(ray, progress=losing)
    run_stages(stages)
    assert losing.done
    assert first not in cluster.worker_nodes
    check(local, ray, stages.runs.last()["stages"])


DRIVER = """
import os, signal, sys
from pathlib import Path
from rag_assets.corpus import load_corpus
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.store.objects import ObjectStore

def progress(stage, done, total):
    if sys.argv[3] == "die" and 0 < done < total:
        os.kill(os.getpid(), signal.SIGKILL)

pipeline = Pipeline(ObjectStore.open(sys.argv[2]), load_corpus(Path(sys.argv[1])), run_id="run", progress=progress)
pipeline.documents()
print("ray" in sys.modules)
"""


def drive(found: Workspace, cluster: Any, then: str) -> subprocess.CompletedProcess[str]:
    """The documents stage in a process of its own."""
    environ = {
        **os.environ,
        "RAY_ADDRESS": cluster.address,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, str(found.path), found.store, then]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_what_was_committed_to_the_next_one(
    cluster: Any, tmp_path: Path
) -> None:
    local, ray = twins(tmp_path)
    killed = drive(ray, cluster, "die")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert pipeline(ray).context.snapshots.latest().number == 0
    committed = {name: set(rows["key"]) for name, rows in contents(ray).items()}
    assert any(name.startswith("embeddings") for name in committed)

    stages = pipeline(ray)
    run_stages(stages)
    same(local, ray)
    facts = stages.runs.last()["stages"]
    all_texts = pipeline(local).runs.last()["stages"]["embeddings"]["embedded"]
    before = sum(len(keys) for name, keys in committed.items() if name.startswith("embeddings"))
    # Actors of the killed driver may have finished what they had at hand before they were stopped.
    made = facts["documents"]["ahead"]["embedded"]
    assert all_texts - before - IN_FLIGHT <= made <= all_texts - before


def test_without_work_ray_is_not_even_imported(tmp_path: Path, cluster: Any) -> None:
    found = workspace(tmp_path, "local", **SETTINGS)
    fill(found, 3)
    aged(found)
    run_stages(pipeline(found))
    found.configure(**on("ray", SETTINGS))
    idle = drive(found, cluster, "live")
    assert idle.returncode == 0, idle.stderr
    assert idle.stdout.split() == ["False"]
