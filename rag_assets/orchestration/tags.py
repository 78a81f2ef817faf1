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
ASSET_JOB = "__ASSET_JOB"
"""Dagster's own job for assets that are materialized by hand or by automation."""
COUNTED_FAILURES = 10
FAILED = [DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


def in_flight(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of a job is queued or at work."""
    return instance.get_runs_count(RunsFilter(job_name=job, statuses=UNFINISHED)) > 0


def assets_in_flight(instance: dg.DagsterInstance, corpus: str) -> bool:
    """Whether assets of a corpus are being materialized without a job of ours: by hand, or by automation."""
    runs = instance.get_runs(RunsFilter(job_name=ASSET_JOB, statuses=UNFINISHED))
    return any(key.path[0] == corpus for run in runs for key in run.asset_selection or ())


def newest_run(instance: dg.DagsterInstance, job: str) -> RunRecord | None:
    """A job's newest run, however it ended. Part of run keys: what is asked for after it is asked for anew."""
    records = instance.get_run_records(RunsFilter(job_name=job), limit=1)
    return records[0] if records else None


def failures(instance: dg.DagsterInstance, job: str) -> tuple[int, RunRecord | None]:
    """How many of a job's newest runs have failed in a row, and the last of them."""
    records = instance.get_run_records(RunsFilter(job_name=job), limit=COUNTED_FAILURES)
    failed = [*takewhile(lambda record: record.dagster_run.status in FAILED, records)]
    return len(failed), failed[0] if failed else None
