"""Whose slots the command line frees: those of its own runs that are surely dead, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRun, DagsterRunStatus
from dagster._core.definitions.materialize import EPHEMERAL_JOB_NAME
from dagster._core.launcher.base import WorkerStatus

from rag_assets.orchestration.command_runs import COMMAND_TAG, LEASE_TAG, PROCESS_TAG, Watch
from rag_assets.orchestration.launcher import WatchfulRunLauncher
from rag_assets.orchestration.process import identity_of
from rag_assets.orchestration.run import RunOutcome, run_corpus
from rag_assets.orchestration.tags import CORPUS_TAG
from rag_assets.orchestration.waiting import Patience
from rag_assets.progress import silent
from rag_assets_tests.orchestration.commands import Home
from rag_assets_tests.workspace import Workspace

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells one process from a later one"
)
POOL, STEP = "handbook_writer", "handbook__documents"
ELSEWHERE = "another-boot/pid:[1]/4711/815"


@dg.op
def nothing() -> None: ...


@dg.job
def other() -> None:
    nothing()


@dg.job(name=EPHEMERAL_JOB_NAME)
def materialized() -> None:
    nothing()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    found = Home(tmp_path)
    for name, value in found.environ.items():
        monkeypatch.setenv(name, value)
    found.corpus()
    return found


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with home.instance() as found:
        yield found


def of_this_process() -> str:
    found = identity_of(os.getpid())
    assert found is not None
    return found


def of_an_ended_process() -> str:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = identity_of(process.pid)
    process.communicate()
    assert found is not None
    return found


def of_an_earlier_process_with_a_pid_that_is_used_again() -> str:
    boot, space, pid, start = of_this_process().split("/")
    return f"{boot}/{space}/{pid}/{int(start) - 1}"


def leave(
    instance: dg.DagsterInstance,
    process: str,
    *,
    written_for: str | None = None,
    pool: str = POOL,
    job: dg.JobDefinition = other,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
) -> DagsterRun:
    """A run of the command line that holds, or waits for, a slot; as its process would leave it."""
    run_id = str(uuid.uuid4())
    tags = {
        COMMAND_TAG: "run",
        CORPUS_TAG: "handbook",
        PROCESS_TAG: f"{written_for or run_id} {process}",
        LEASE_TAG: "1",
    }
    run = instance.create_run_for_job(job, run_id=run_id, tags=tags, status=status)
    if instance.event_log_storage.get_concurrency_info(pool).slot_count == 0:
        instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
    instance.event_log_storage.claim_concurrency_slot(pool, run_id, STEP)
    return run


def run(home: Home, patience_seconds: float = 0) -> RunOutcome:
    corpus = Workspace(home.root, home.environ["RAG_STORE"]).corpus
    patience = Patience(patience_seconds, lambda line: None)
    return run_corpus(corpus, home.environ["RAG_STORE"], reason="", progress=silent, patience=patience)


def status(instance: dg.DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


@pytest.mark.parametrize(
    "process",
    [of_an_ended_process, of_an_earlier_process_with_a_pid_that_is_used_again],
    ids=["ended", "its pid is used again"],
)
def test_slots_of_a_process_that_is_gone_are_freed(
    home: Home, instance: dg.DagsterInstance, process: Callable[[], str]
) -> None:
    holding = leave(instance, process())
    queued = leave(instance, process())
    # Ended by the record, and killed before it gave its slot back.
    ended = leave(instance, process(), pool="embedding", status=DagsterRunStatus.CANCELED)
    never_started = leave(instance, process(), pool="gpu", status=DagsterRunStatus.NOT_STARTED)
    assert run(home).error is None
    assert [status(instance, one) for one in (holding, queued, never_started)] == [
        DagsterRunStatus.FAILURE
    ] * 3
    assert status(instance, ended) is DagsterRunStatus.CANCELED
    assert home.slots() == []


def test_slots_of_others_are_left_alone(home: Home, instance: dg.DagsterInstance) -> None:
    """A living process; one on another machine whose lease has not run out; tags that were copied; no tags of ours."""
    ended = of_an_ended_process()
    for process, written_for, pool, job, told in (
        (of_this_process(), None, POOL, other, "rag-assets run handbook (pid"),
        (ELSEWHERE, None, "embedding", other, "rag-assets run handbook (pid"),
        (ended, "another run", "handbook_command_line", other, "of other, which Dagster's daemon"),
        (ended, "another run", POOL, materialized, "of an earlier version or of other code"),
    ):
        left = leave(instance, process, written_for=written_for, pool=pool, job=job)
        outcome = run(home)
        assert outcome.cause == "failed"
        assert outcome.error is not None
        assert f"the pool {pool} is held by" in outcome.error
        assert told in outcome.error
        assert status(instance, left) is DagsterRunStatus.STARTED
        assert {one for one in home.slots() if one[1] != left.run_id} == set(), (
            "the run that gave up holds nothing"
        )
        instance.event_log_storage.free_concurrency_slots_for_run(left.run_id)


def test_a_run_of_another_machine_is_dead_when_its_lease_is_not_renewed(instance: dg.DagsterInstance) -> None:
    watch, run_id = Watch(lease_seconds=0.3), leave(instance, ELSEWHERE).run_id

    def dead() -> bool:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        return watch.is_dead(run)

    for number in range(4):
        instance.add_run_tags(run_id, {LEASE_TAG: str(number)})
        assert not dead()
        time.sleep(0.2)
        assert not dead()
    time.sleep(0.4)
    assert dead()


def test_a_free_slot_that_was_given_to_no_run_is_taken(home: Home, instance: dg.DagsterInstance) -> None:
    """Its holder was killed between freeing it and giving it to the next one in the queue."""
    holder = leave(instance, of_this_process())
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(run, home, patience_seconds=300)
        while (
            len(home.slots()) < 5
        ):  # two of the holder; those of the run for its corpus, and its place in the queue
            assert not waiting.done(), waiting.result()
            time.sleep(0.1)
        storage = instance.event_log_storage
        storage._free_concurrency_slots(holder.run_id)  # type: ignore[attr-defined]
        storage._remove_pending_steps(holder.run_id)  # type: ignore[attr-defined]
        assert waiting.result(timeout=200).error is None


def test_a_pool_without_slots_is_not_waited_for_in_silence(home: Home, instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("embedding", 0)
    outcome = run(home)
    assert outcome.error is not None
    assert "the pool embedding is held by no run (its limit is 0)" in outcome.error


def test_the_daemon_notices_that_the_process_of_a_command_is_gone(instance: dg.DagsterInstance) -> None:
    launcher = WatchfulRunLauncher()
    launcher.register_instance(instance)
    health = [
        launcher.check_run_worker_health(leave(instance, process)).status
        for process in (of_an_ended_process(), of_this_process())
    ]
    assert health == [WorkerStatus.FAILED, WorkerStatus.RUNNING]
