"""Tags of runs: what sensors find their own runs by."""

from __future__ import annotations

from itertools import takewhile

import dagster as dg
from dagster import DagsterRunStatus, RunRecord, RunsFilter

CORPUS_TAG = "rag_assets/corpus"
"""The corpus that a run is about."""
BY_TAG = "rag_assets/by"
"""Who or what wanted the run, for the publication log."""
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
COUNTED_FAILURES = 10
FAILED = [DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


def in_flight(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of a job is queued or at work."""
    return instance.get_runs_count(RunsFilter(job_name=job, statuses=UNFINISHED)) > 0


def failures(instance: dg.DagsterInstance, job: str) -> tuple[int, RunRecord | None]:
    """How many of a job's newest runs have failed in a row, and the last of them."""
    records = instance.get_run_records(RunsFilter(job_name=job), limit=COUNTED_FAILURES)
    failed = [*takewhile(lambda record: record.dagster_run.status in FAILED, records)]
    return len(failed), failed[0] if failed else None
