"""What Dagster's daemon does with sensors, tick by tick, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster import RunsFilter

from rag_assets.corpus import Corpus
from rag_assets.orchestration.build import build_definitions
from rag_assets.orchestration.resources import StoreResource, log_progress

RUN_KEY = "dagster/run_key"


class Daemon:
    """Evaluates sensors of one corpus and starts the runs that they ask for."""

    def __init__(self, instance: dg.DagsterInstance, corpus: Corpus, store: str) -> None:
        self.instance = instance
        self.resources: Mapping[str, Any] = {
            "store": StoreResource(url=store),
            "progress": log_progress,
        }
        self.load(corpus)

    def load(self, corpus: Corpus) -> None:
        """Load the definitions, as the code location does."""
        self.definitions = build_definitions({corpus.name: corpus})

    def tick(self, sensor: str) -> list[dg.RunRequest] | str:
        """What a tick asks for that was not asked for before; or why it asks for nothing."""
        context = dg.build_sensor_context(
            instance=self.instance, resources=self.resources, definitions=self.definitions
        )
        result = self.definitions.resolve_sensor_def(sensor).evaluate_tick(context)
        if result.skip_message:
            return result.skip_message
        return [
            request
            for request in result.run_requests or ()
            if not self.instance.get_runs(RunsFilter(tags={RUN_KEY: str(request.run_key)}))
        ]

    def start(self, job: str, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
        """Run a job to its end, as a request asks for it."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            resources=dict(self.resources),
            run_config={
                **(dict(request.run_config) if request else {}),
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            tags={} if request is None else {**request.tags, RUN_KEY: str(request.run_key)},
            raise_on_error=False,
        )
