"""One GPU for all runs of a host: a step that wants it waits, and a run that ends, however it ends, gives it back."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from dagster import DagsterRunStatus, RunsFilter

from rag_assets_tests.orchestration.deployment import MODULE, Deployment
from rag_assets_tests.stack import Service

pytestmark = pytest.mark.slow
Found = TypeVar("Found")
GPU = {"gpu": {}, "embedder": {"precision": "float32"}}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Deployment]:
    """Two corpora, a daemon, and a model that is at work as long as the file ``hold`` is there."""
    deployment = Deployment(tmp_path, environ={"WATCH_HOLD": str(tmp_path / "hold")})
    for name in ("first", "second"):
        deployment.corpus(name, **GPU).write("a.md", f"# The {name}\n\nText of the {name} corpus.")
    (tmp_path / "hold").touch()
    with deployment.instance():
        pass  # makes the tables: two processes that make them at once get in each other's way
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", MODULE]
    daemon = Service(command, deployment.everything, tmp_path / "daemon.log", tmp_path)
    daemon.start()
    try:
        yield deployment
    finally:
        daemon.kill()


def launch(host: Deployment, corpus: str) -> str:
    """Put a run into the queue; returns its id."""
    launched = host.dagster("job", "launch", "-m", MODULE, "-j", f"{corpus}_job")
    assert launched.returncode == 0, launched.stderr[-3000:]
    with host.instance() as instance:
        (run,) = instance.get_runs(RunsFilter(job_name=f"{corpus}_job"))
    return run.run_id


def when(host: Deployment, run: str, step: str, event: str) -> float | None:
    """When something first happened to a step of a run."""
    times = [
        time
        for time, one in host.events(run)
        if one.event_type_value == event and str(one.step_key).endswith(step)
    ]
    return min(times, default=None)


def wait_for(host: Deployment, find: Callable[[], Found | None], seconds: float = 180) -> Found:
    deadline = time.monotonic() + seconds
    while (found := find()) is None:
        assert time.monotonic() < deadline, (host.root / "daemon.log").read_text()[-3000:]
        time.sleep(0.5)
    return found


def status(host: Deployment, run: str) -> DagsterRunStatus:
    with host.instance() as instance:
        found = instance.get_run_by_id(run)
    assert found is not None
    return found.status


def kill(host: Deployment, run: str) -> None:
    """End the process of a run, as a lack of memory would."""
    pids = [
        entry.value
        for _, event in host.events(run)
        if event.is_engine_event
        for name, entry in event.engine_event_data.metadata.items()
        if name == "pid"
    ]
    os.kill(int(str(pids[-1])), signal.SIGKILL)


def cancel(host: Deployment, run: str) -> None:
    with host.instance() as instance:
        assert instance.run_launcher.terminate(run)


@pytest.mark.parametrize("end", [None, cancel, kill], ids=["finished", "cancelled", "killed"])
def test_two_steps_never_have_the_gpu_at_once_and_the_end_of_a_run_frees_it(
    host: Deployment, end: Callable[[Deployment, str], None] | None
) -> None:
    first = launch(host, "first")
    wait_for(host, lambda: when(host, first, "embeddings.model", "STEP_START"))
    wait_for(host, lambda: host.batches() or None)
    second = launch(host, "second")
    wait_for(host, lambda: when(host, second, "embeddings.plan", "STEP_SUCCESS"))
    time.sleep(3)
    assert when(host, second, "embeddings.model", "STEP_START") is None, "the GPU is taken"
    if end is not None:
        end(host, first)
        ended = (DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE)
        wait_for(host, lambda: status(host, first) in ended or None)
        wait_for(host, lambda: when(host, second, "embeddings.model", "STEP_START"))
        assert when(host, first, "embeddings.model", "STEP_UP_FOR_RETRY") is None, "it is over"
    (host.root / "hold").unlink()
    wait_for(host, lambda: status(host, second) == DagsterRunStatus.SUCCESS or None)
    if end is None:
        freed = when(host, first, "embeddings.model", "STEP_SUCCESS")
        taken = when(host, second, "embeddings.model", "STEP_START")
        assert freed is not None and taken is not None
        assert freed <= taken
