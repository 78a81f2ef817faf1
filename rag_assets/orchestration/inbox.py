"""Sensors that start runs for what changed: one follows the inbox, one looks at sources that announce nothing.

The second only writes what it sees into the inbox, so a burst is coalesced, retried and counted in
one way wherever it came from.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from rag_assets.corpus import Corpus, Events, Watch
from rag_assets.inbox import Change, Pending
from rag_assets.orchestration.jobs import job_name
from rag_assets.orchestration.resources import StoreResource
from rag_assets.orchestration.tags import BY_TAG, assets_in_flight, failures, in_flight, newest_run
from rag_assets.pipeline.events import acknowledge
from rag_assets.pipeline.runs import RunRecords
from rag_assets.sources import compare, open_sources
from rag_assets.sources.push import PushSource
from rag_assets.store.digest import fingerprint
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import SnapshotStore

TICK_SECONDS = 1
"""Dagster's daemon looks every few seconds; nothing is gained by asking it to wait longer."""
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 5, 300
LONGEST_URGENT_SECONDS = 60
LISTING_SECONDS = 40.0
"""A tick is ended by Dagster after 60."""
CHANGES_AT_ONCE = 1000
YOUNG = timedelta(seconds=2)
"""A file that changed this moment may change once more within the same time stamp."""


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


def event_sensors(corpus: Corpus) -> list[dg.SensorDefinition]:
    """The sensors that a corpus file asks for under ``events``."""
    if corpus.events is None:
        return []
    watch = corpus.events.watch
    return [_inbox_sensor(corpus, corpus.events), *([_watch_sensor(corpus, watch)] if watch else [])]


def _inbox_sensor(corpus: Corpus, events: Events) -> dg.SensorDefinition:
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

    return sensor


def _why_unpublished(objects: ObjectStore, corpus: Corpus, failed: int, max_attempts: int) -> Wait | None:
    """Why no run starts for events that a snapshot contains and no publication; None when one is to start.

    A run that was killed, or failed over something that was down, after its first stage leaves such
    events. Not so a gate that refused or a rollback that holds back: another run would end the same.
    """
    if failed >= max_attempts:
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


def _watch_sensor(corpus: Corpus, watch: Watch) -> dg.SensorDefinition:
    job = job_name(corpus, "job")

    @dg.sensor(
        name=f"{corpus.name}_watch",
        job_name=job,
        minimum_interval_seconds=watch.poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at the sources and puts what changed into the inbox.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.RunRequest | dg.SkipReason:
        if any(in_flight(context.instance, one) for one in (job, job_name(corpus, "events"))):
            return dg.SkipReason("a run is not done; what it finds need not be announced")
        objects = ObjectStore.open(store.url)
        if SnapshotStore(objects, corpus.name).latest().number == 0:
            newest = newest_run(context.instance, job)
            return _everything(corpus, f"first-{newest.dagster_run.run_id if newest is not None else ''}")
        changes = look(objects, corpus, time.monotonic() + LISTING_SECONDS)
        if changes is None:
            # Once an hour: a run may take as long as it needs to list.
            return _everything(corpus, datetime.now(UTC).strftime("%Y%m%d%H"))
        inbox, fresh = store.inbox(corpus), 0
        assert inbox is not None, "the corpus file has events"
        for start in range(0, len(changes), CHANGES_AT_ONCE):
            part = changes[start : start + CHANGES_AT_ONCE]
            fresh += len(part) if inbox.accept(corpus.name, part) else 0
        return dg.SkipReason(f"{fresh} changed documents put into the inbox" if fresh else "nothing changed")

    return sensor


def _everything(corpus: Corpus, why: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"{corpus.name}-watch-{why}", tags={BY_TAG: "watch"})


def look(objects: ObjectStore, corpus: Corpus, deadline: float) -> list[Change] | None:
    """What differs between sources and the latest snapshot, as events; None when listing takes too long.

    Equal differences give equal event ids, so that what is seen twice is announced once.

    Args:
        objects: the store.
        corpus: the corpus file.
        deadline: on the monotonic clock.
    """
    snapshots = SnapshotStore(objects, corpus.name)
    snapshot = snapshots.latest()
    now = datetime.now(UTC)
    listed: list[tuple[str, str]] = []
    young: set[str] = set()
    pushed: list[str] = []
    for settings, source in zip(corpus.sources, open_sources(corpus, objects), strict=True):
        if isinstance(source, PushSource):
            # Their own events bring them; one of ours would be newer, and bring nothing.
            pushed.append(settings.prefix)
            continue
        for item in source.list():
            if time.monotonic() > deadline:
                return None
            listed.append((item.document_id, item.version))
            if now - item.modified < YOUNG:
                young.add(item.document_id)
    known = snapshots.rows(snapshot, ("document_id", "source", "version"))
    known = known.filter(~pl.col("source").is_in(pushed))
    listing = pl.DataFrame(
        listed, schema={"document_id": pl.String, "version": pl.String}, orient="row"
    ).filter(~pl.col("document_id").is_in(list(ErasureLog(objects, corpus.name).erased())))
    # What could not be read has no version: it is tried again by every whole run, not at every tick.
    unread = set(known.filter(pl.col("version").is_null())["document_id"])
    comparison = compare(listing, known)
    seen: Iterator[tuple[str, str]] = (
        (kind, document)
        for kind, ids in (
            ("deleted", comparison.vanished),
            # Not "created": what a source holds again is no decision to lift an erasure.
            ("updated", comparison.new),
            ("updated", comparison.changed),
        )
        for document in ids
        if document not in young and not (kind == "updated" and document in unread)
    )
    versions = dict(listed)
    return _changes(snapshot.number, sorted(seen), versions, now)


def _changes(
    snapshot: int, seen: list[tuple[str, str]], versions: dict[str, str], now: datetime
) -> list[Change]:
    found: list[Change] = []
    for start in range(0, len(seen), CHANGES_AT_ONCE):
        part = seen[start : start + CHANGES_AT_ONCE]
        parts = [[kind, document, versions.get(document, "")] for kind, document in part]
        event = f"watch:{snapshot}:{fingerprint({'seen': parts})}"
        found += [
            Change(event=event, document=document, kind=kind, occurred=now, sender="watch")  # type: ignore[arg-type]
            for kind, document in part
        ]
    return found
