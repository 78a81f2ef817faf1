"""From corpora to Dagster definitions."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.alerts import alert_sensor
from rag_assets.orchestration.assets import corpus_assets
from rag_assets.orchestration.automation import automation_sensor
from rag_assets.orchestration.executors import open_executor
from rag_assets.orchestration.inbox import inbox_sensor
from rag_assets.orchestration.invalidation import publication_sensor
from rag_assets.orchestration.jobs import corpus_jobs
from rag_assets.orchestration.resources import StoreResource, log_progress
from rag_assets.orchestration.schedules import corpus_schedules
from rag_assets.orchestration.watch import watch_sensor
from rag_assets.settings import Settings


def build_definitions(corpora: Mapping[str, Corpus]) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources of all corpora.

    Raises:
        ConfigurationError: ``RAG_EXECUTOR`` names no executor, or one that is not installed.
    """
    executor = open_executor(Settings().executor)
    every = corpora.values()
    return dg.Definitions(
        assets=[asset for corpus in every for asset in corpus_assets(corpus)],
        jobs=[job for corpus in every for job in corpus_jobs(corpus, executor)],
        schedules=[schedule for corpus in every for schedule in corpus_schedules(corpus)],
        sensors=[
            *(sensor for corpus in every for sensor in inbox_sensor(corpus)),
            *(sensor for corpus in every for sensor in watch_sensor(corpus)),
            *(sensor for corpus in every for sensor in publication_sensor(corpus)),
            *(sensor for corpus in every for sensor in automation_sensor(corpus)),
            *alert_sensor(),
        ],
        resources={"store": StoreResource(), "progress": log_progress},
        executor=executor,
    )
