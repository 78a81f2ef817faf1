"""Runs of the command line in Dagster's storage: who executes them, whether that process lives, how they end.

A run that the daemon starts is watched by the daemon. A run of the command line is executed by its own process, and
on a laptop, in cron and in CI no daemon is there: a process that is killed would leave its run as started, and its
slots of pools taken, for ever. So each such run carries the identity of its process and a lease that the process
renews, and each later one clears away what has ended.

A lease is judged without comparing clocks: it has run out for a process that has looked at it for so long and has not
seen it renewed.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread

import dagster as dg
from dagster import DagsterRun, RunsFilter
from dagster._core.definitions.materialize import EPHEMERAL_JOB_NAME
from sqlalchemy.exc import SQLAlchemyError

from rag_assets.orchestration.interruption import Interruption
from rag_assets.orchestration.process import has_ended, identity_of
from rag_assets.orchestration.tags import CORPUS_TAG, UNFINISHED

COMMAND_TAG = "rag_assets/command"
"""What was called: ``run`` or ``evaluate``. Runs of the command line have it, others do not."""
HOST_TAG, PID_TAG = "rag_assets/host", "rag_assets/pid"
"""For people."""
PROCESS_TAG = "rag_assets/process"
"""The run's id and the identity of its process. Tags may be copied to another run, which then is none of ours."""
LEASE_TAG = "rag_assets/lease"
"""Another value at each renewal."""
OURS = {COMMAND_TAG: ["run", "evaluate"]}
"""For filters."""
RENEWAL_SECONDS, LEASE_SECONDS = 10.0, 60.0


class Watch:
    """Tells runs whose process is gone from those that live. Keep it: a lease is judged by looking more than once.

    Args:
        lease_seconds: after which a lease that is not renewed has run out.
    """

    def __init__(self, lease_seconds: float = LEASE_SECONDS) -> None:
        self._lease_seconds = lease_seconds
        self._seen: dict[str, tuple[str, float]] = {}

    def is_dead(self, run: DagsterRun) -> bool:
        """Whether a run of the command line has lost its process; False for all other runs, and in case of doubt."""
        if not is_command_run(run):
            return False
        _, _, identity = run.tags[PROCESS_TAG].partition(" ")
        ended = has_ended(identity)
        if ended is not None:
            return ended
        lease, now = run.tags.get(LEASE_TAG, ""), time.monotonic()
        seen = self._seen.get(run.run_id)
        if seen is None or seen[0] != lease:
            self._seen[run.run_id] = seen = (lease, now)
        return now - seen[1] > self._lease_seconds


def is_command_run(run: DagsterRun) -> bool:
    """Whether the command line executes this run in its own process."""
    return run.tags.get(PROCESS_TAG, "").partition(" ")[0] == run.run_id


def describe(run: DagsterRun) -> str:
    """A run as a message names it."""
    if not is_command_run(run) and run.job_name == EPHEMERAL_JOB_NAME:
        return (
            f"run {run.run_id[:8]} of an earlier version or of other code (if its process is gone, free its slot in "
            "Dagster's UI, under Deployment → Concurrency)"
        )
    if not is_command_run(run):
        return f"run {run.run_id[:8]} of {run.job_name}, which Dagster's daemon looks after"
    command = f"rag-assets {run.tags.get(COMMAND_TAG)} {run.tags.get(CORPUS_TAG)}"
    return f"{command} (pid {run.tags.get(PID_TAG)} on {run.tags.get(HOST_TAG)}, run {run.run_id[:8]})"


def clear_away(instance: dg.DagsterInstance, watch: Watch) -> None:
    """Record runs of the command line whose process is gone as failed, and free their slots."""
    found = {run.run_id: run for run in instance.get_runs(RunsFilter(tags=OURS, statuses=UNFINISHED))}
    holders = instance.event_log_storage.get_concurrency_run_ids()
    if holders:
        found |= {run.run_id: run for run in instance.get_runs(RunsFilter(run_ids=[*holders], tags=OURS))}
    for run in found.values():
        if watch.is_dead(run):
            bury(instance, run)


def bury(instance: dg.DagsterInstance, run: DagsterRun) -> None:
    """Record a run whose process is gone as failed, and free its slots."""
    if not run.is_finished:
        instance.report_run_failed(
            run,
            f"The process of this run (pid {run.tags.get(PID_TAG)} on {run.tags.get(HOST_TAG)}) is gone: it was killed, "
            "or its machine was. Nothing is half; the next run goes on where it was.",
        )
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


@contextmanager
def command_run(
    instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str], interruption: Interruption | None
) -> Iterator[Mapping[str, str]]:
    """The tags of a run that is to be executed in the block; after it, the run has ended and holds no slot.

    Args:
        instance: where it is recorded.
        run_id: of the run.
        tags: more tags.
        interruption: told how to end the run if the process is ended by force.
    """
    over = Event()
    renewal = Thread(target=_renew, args=(instance, run_id, over), name="lease", daemon=True)
    if interruption is not None:
        interruption.before_force(lambda: _end(instance, run_id))
    if instance.is_persistent:
        renewal.start()
    try:
        yield {
            **tags,
            HOST_TAG: socket.gethostname(),
            PID_TAG: str(os.getpid()),
            PROCESS_TAG: f"{run_id} {identity_of(os.getpid()) or 'unknown'}",
            LEASE_TAG: _now(),
        }
    finally:
        over.set()
        if instance.is_persistent:
            renewal.join()
        _end(instance, run_id)


def _end(instance: dg.DagsterInstance, run_id: str) -> None:
    """Record a run as cancelled unless it has ended otherwise, and free its slots."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceled(run, "The command was interrupted.")
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def _renew(instance: dg.DagsterInstance, run_id: str, over: Event) -> None:
    while not over.wait(RENEWAL_SECONDS):
        try:
            if instance.has_run(run_id):
                instance.add_run_tags(run_id, {LEASE_TAG: _now()})
        except SQLAlchemyError:  # a database that does not answer now may answer in time
            continue


def _now() -> str:
    return f"{time.time():.3f}"
