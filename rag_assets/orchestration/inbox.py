"""The sensor that follows the inbox: it starts runs over the documents that events name."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from rag_assets.corpus import Corpus, Events
from rag_assets.events.inbox import Pending
from rag_assets.orchestration.jobs import job_name
from rag_assets.orchestration.resources import StoreResource
from rag_assets.orchestration.tags import (
    BY_TAG,
    COUNTED_FAILURES,
    assets_in_flight,
    failures,
    in_flight,
    newest_run,
)
from rag_assets.pipeline.events import acknowledge
from rag_assets.pipeline.runs import RunRecords
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import SnapshotStore

TICK_SECONDS = 1
"""Dagster's daemon looks every few seconds; nothing is gained by asking it to wait longer."""
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 5, 300
LONGEST_URGENT_SECONDS = 60


@dataclass(frozen=True)
class Wait:
    """Why no run starts at this tick."""

    reason: str


def due(pending: Pending, events: Events, now: datetime) -> Wait | None:
    """Whether what waits in the inbox is to be run now: None, or why not."""
    if pending.count == 0 or pending.oldest is None or pending.newest is None:
        return Wait("no event waits")
    if pending.urgent:
        return None
    quiet, waited = now - pending.newest, now - pending.oldest
    if quiet.total_seconds() < events.debounce_seconds and waited.total_seconds() < events.max_delay_seconds:
        return Wait(f"{pending.count} events; the last came {quiet.total_seconds():.1f} s ago")
    return None


def inbox_sensor(corpus: Corpus) -> list[dg.SensorDefinition]:
    """The sensor, or none where the corpus file asks for no events."""
    if corpus.events is None:
        return []
    events = corpus.events
    job = job_name(corpus, "events")

    @dg.sensor(
        name=f"{corpus.name}_inbox",
        job_name=job,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one run for all events that wait, when no more come or they have waited long enough.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.RunRequest | dg.SkipReason:
        inbox = store.inbox(corpus)
        assert inbox is not None, "the corpus file has events"
        objects = ObjectStore.open(store.url)
        applied = inbox.counts().get(corpus.name, {}).get("applied", 0)
        if applied:  # also what was published without this inbox
            applied -= acknowledge(inbox, objects, corpus.name)
        instance = context.instance
        if in_flight(instance, job) or assets_in_flight(instance, corpus.name):
            return dg.SkipReason("a run is not done")
        pending = inbox.pending(corpus.name)
        if not pending.urgent and in_flight(instance, job_name(corpus, "job")):
            # Its stages read the latest snapshot; another one meanwhile would end it in vain.
            return dg.SkipReason("a whole run is not done; only deletions and erasures do not wait for it")
        failed, last = failures(instance, job)
        wait = due(pending, events, datetime.now(UTC))
        if wait is not None and not pending.count and applied:
            wait = _why_unpublished(objects, corpus, failed, events.max_attempts)
        if wait is not None:
            return dg.SkipReason(wait.reason)
        if last is not None and last.end_time is not None:
            longest = LONGEST_URGENT_SECONDS if pending.urgent else LONGEST_BACKOFF_SECONDS
            if time.time() < last.end_time + min(BACKOFF_SECONDS * 2 ** (failed - 1), longest):
                return dg.SkipReason(f"{failed} runs in a row have failed; the next may start later")
        # The same state gives the same key until a run has been made of it, whatever is killed meanwhile.
        newest = newest_run(instance, job)
        after = newest.dagster_run.run_id if newest is not None else "none"
        return dg.RunRequest(
            run_key=f"{corpus.name}-{pending.last}-{pending.count}-{pending.attempts}-{after}",
            run_config=_run_config(corpus, f"{pending.count + applied} events"),
            tags={BY_TAG: "events"},
        )

    return [sensor]


def _why_unpublished(objects: ObjectStore, corpus: Corpus, failed: int, max_attempts: int) -> Wait | None:
    """Why no run starts for events that a snapshot contains and no publication; None when one is to start.

    A run that was killed, or failed over something that was down, after its first stage leaves such
    events. Not so a gate that refused or a rollback that holds back: another run would end the same.
    """
    if failed >= min(max_attempts, COUNTED_FAILURES):
        return Wait(f"events are not published yet, and {failed} runs in a row have failed")
    last = RunRecords(objects, corpus.name).last().get("stages", {})
    if last.get("documents", {}).get("snapshot") == SnapshotStore(objects, corpus.name).latest().number:
        if last.get("evaluation", {}).get("passed") is False:
            return Wait("events are not published yet: the gate refused them")
        if last.get("candidate", {}).get("state") == "held":
            return Wait("events are not published yet: a rollback holds them back")
    return None


def _run_config(corpus: Corpus, reason: str) -> dict[str, object]:
    return {
        "ops": {
            f"{corpus.name}__documents": {"config": {"only_events": True}},
            f"{corpus.name}__publication": {"config": {"reason": reason}},
        }
    }
