"""The asset ``invalidation``: after every publication, whoever caches is told what to forget.

In a run that publishes it comes last. What is published without Dagster, rolled back, or could not
be delivered is noticed by the sensor ``<corpus>_publications``, which runs this asset alone.

Annotations here are read by Dagster when an asset is defined, so they must not be postponed.
"""

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.invalidation.deliver import deliver
from rag_assets.invalidation.status import TargetStatus, status
from rag_assets.orchestration import metadata
from rag_assets.orchestration.declare import corpus_asset, data_version
from rag_assets.orchestration.failures import reported
from rag_assets.orchestration.jobs import job_name
from rag_assets.orchestration.resources import StoreResource
from rag_assets.orchestration.tags import BY_TAG, failures, in_flight, newest_run
from rag_assets.publication.log import PublicationLog
from rag_assets.store.digest import fingerprint
from rag_assets.store.objects import ObjectStore

CHECK = "delivered"
TICK_SECONDS = 5
REST_SECONDS, LONGEST_REST_SECONDS = 15, 600
LOOK_AGAIN = timedelta(minutes=1)
"""Between two looks whether targets still know what they were told."""


def invalidation_assets(corpus: Corpus, publication: dg.AssetsDefinition) -> list[dg.AssetsDefinition]:
    """The asset, or none where the corpus file names no targets."""
    if corpus.invalidation is None:
        return []

    @corpus_asset(
        corpus,
        kinds={"python"},
        code_version="1",
        deps=[publication],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=dg.AssetKey([corpus.name, "invalidation"]),
                description="Every target knows what readers see. What it was not told is tried again.",
            )
        ],
        # Order is kept by one delivery at a time.
        pool=f"{corpus.name}_invalidation",
        description="Caches, services and CDNs are told which documents changed.",
    )
    def invalidation(store: StoreResource) -> dg.MaterializeResult:
        with reported():
            objects = ObjectStore.open(store.url)
            outcomes = deliver(objects, corpus)
            found = status(objects, corpus)
            return dg.MaterializeResult(
                metadata=metadata.delivered(outcomes),
                data_version=data_version(*(f"{target.target}-{target.publication}" for target in found)),
                check_results=[_delivered(corpus, found)],
            )

    return [invalidation]


def _delivered(corpus: Corpus, found: list[TargetStatus]) -> dg.AssetCheckResult:
    problems = [_problem(corpus, target) for target in found if target.state != "delivered"]
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        description="\n".join(problems) or None,
        metadata={"targets": len(found), "undelivered": len(problems)},
    )


def _problem(corpus: Corpus, target: TargetStatus) -> str:
    if target.state == "dead":
        told = f"was not told of {len(target.dead)} changes, and no more attempts are made"
        reason = target.dead[-1].reason
        return (
            f"{target.target}: {told}; mend it, then: rag-assets invalidation retry {corpus.name}: {reason}"
        )
    late = f"{target.behind} publications and {target.erasures_behind} erasures behind"
    return f"{target.target}: {late}, tried {target.attempts} times: {target.error or 'not tried yet'}"


def _due(target: TargetStatus, now: datetime) -> bool:
    rests = target.next_attempt is not None and datetime.fromisoformat(target.next_attempt) > now
    return bool(target.behind or target.erasures_behind) and not rests


def _looked(cursor: str | None) -> datetime:
    return datetime.fromisoformat(cursor) if cursor else datetime.min.replace(tzinfo=UTC)


def publication_sensor(corpus: Corpus) -> list[dg.SensorDefinition]:
    """The sensor that delivers what no run has delivered; none where the corpus file names no targets."""
    if corpus.invalidation is None:
        return []
    job = job_name(corpus, "invalidation")

    @dg.sensor(
        name=f"{corpus.name}_publications",
        job_name=job,
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Delivers publications, rollbacks and erasures that targets were not told of, and moves the tag "
        "that LanceDB clients follow where a publisher was killed before it did.",
    )
    def sensor(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.RunRequest | dg.SkipReason:
        if in_flight(context.instance, job):
            return dg.SkipReason("a delivery is not done")
        now, objects = datetime.now(UTC), ObjectStore.open(store.url)
        log = PublicationLog(objects, corpus.name)
        tag = log.published_tag()
        moved = ""
        if tag is not None and tag.problem is not None:
            context.log.warning(f"{corpus.name}: {tag.problem}")
            log.repair()
            moved = f"; moved the tag: {tag.problem}"
        due = [target for target in status(objects, corpus) if _due(target, now)]
        if not due:
            if now - _looked(context.cursor) >= LOOK_AGAIN:
                # A Redis that lost its data is told everything anew; nobody else is sent anything.
                deliver(objects, corpus)
                context.update_cursor(now.isoformat())
            return dg.SkipReason(f"every target knows what readers see, or rests after a failure{moved}")
        # The same state gives the same key until a run has been made of it; a run that could not deliver is
        # followed by another one after a rest.
        newest = newest_run(context.instance, job)
        failed, _ = failures(context.instance, job)
        rest = min(REST_SECONDS * 2**failed, LONGEST_REST_SECONDS)
        if newest is not None and newest.end_time and time.time() < newest.end_time + rest:
            return dg.SkipReason(f"a delivery has just ended; {failed} in a row have failed")
        after = newest.dagster_run.run_id if newest is not None else "none"
        seen = fingerprint({"due": [asdict(target) for target in due]})
        return dg.RunRequest(run_key=f"{corpus.name}-{seen}-{after}", tags={BY_TAG: "publications"})

    return [sensor]
