"""The sensor that looks at sources which announce nothing.

It only writes what it sees into the inbox, so a burst is coalesced, retried and counted in one way
wherever it came from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.events.inbox import Change, Kind
from rag_assets.ingest.sources import PushSource, compare, open_sources
from rag_assets.orchestration.jobs import job_name
from rag_assets.orchestration.resources import StoreResource
from rag_assets.orchestration.tags import BY_TAG, in_flight, newest_run
from rag_assets.store.digest import fingerprint
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import SnapshotStore

LISTING_SECONDS = 40.0
"""A tick is ended by Dagster after 60."""
CHANGES_AT_ONCE = 1000
YOUNG = timedelta(seconds=2)
"""A file that changed this moment may change once more within the same time stamp."""


def watch_sensor(corpus: Corpus) -> list[dg.SensorDefinition]:
    """The sensor, or none where the corpus file does not ask to watch."""
    watch = corpus.events.watch if corpus.events else None
    if watch is None:
        return []
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

    return [sensor]


def _everything(corpus: Corpus, why: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"{corpus.name}-watch-{why}", tags={BY_TAG: "watch"})


def look(objects: ObjectStore, corpus: Corpus, deadline: float) -> list[Change] | None:
    """What differs between sources and the latest snapshot, as events; None when only a whole run can tell.

    That is when listing takes too long, and when rows of the snapshot are lost.

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
    try:
        known = snapshots.rows(snapshot, ("document_id", "source", "version"))
    except ObjectLost as error:
        warn(str(error))
        return None
    known = known.filter(~pl.col("source").is_in(pushed))
    listing = pl.DataFrame(
        listed, schema={"document_id": pl.String, "version": pl.String}, orient="row"
    ).filter(~pl.col("document_id").is_in(ErasureLog(objects, corpus.name).erased()))
    # What could not be read has no version: it is tried again by every whole run, not at every tick.
    unread = set(known.filter(pl.col("version").is_null())["document_id"])
    comparison = compare(listing, known)
    found: Sequence[tuple[Kind, pl.Series]] = (
        ("deleted", comparison.vanished),
        # Not "created": what a source holds again is no decision to lift an erasure.
        ("updated", comparison.new),
        ("updated", comparison.changed),
    )
    seen = (
        (kind, document)
        for kind, ids in found
        for document in ids
        if document not in young and not (kind == "updated" and document in unread)
    )
    versions = dict(listed)
    return _changes(snapshot.number, sorted(seen), versions, now)


def _changes(
    snapshot: int, seen: list[tuple[Kind, str]], versions: dict[str, str], now: datetime
) -> list[Change]:
    found: list[Change] = []
    for start in range(0, len(seen), CHANGES_AT_ONCE):
        part = seen[start : start + CHANGES_AT_ONCE]
        parts = [[kind, document, versions.get(document, "")] for kind, document in part]
        event = f"watch:{snapshot}:{fingerprint({'seen': parts})}"
        found += [
            Change(event=event, document=document, kind=kind, occurred=now, sender="watch")
            for kind, document in part
        ]
    return found
