"""Run a corpus's assets in this process, as the command line and CI do.

The run is an ordinary Dagster run: with ``DAGSTER_HOME`` set it shows in the UI.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.assets import BY_TAG, corpus_assets
from rag_assets.orchestration.resources import StoreResource
from rag_assets.pipeline.progress import Progress
from rag_assets.pipeline.runs import RunRecords, summary
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        summary: the ``last_run`` object plus published, publication and gate.
        error: what stopped it, or None.
        refused: it was the gate that stopped it.
    """

    summary: dict[str, Any]
    error: str | None
    refused: bool


def run_corpus(corpus: Corpus, store: str, *, reason: str, progress: Progress) -> RunOutcome:
    """Materialize all assets of a corpus.

    Args:
        corpus: the corpus file.
        store: store URL.
        reason: why, for the publication log.
        progress: told how far each stage has come.
    """
    with _instance() as instance:
        result = dg.materialize(
            corpus_assets(corpus),
            instance=instance,
            resources={"store": StoreResource(url=store), "progress": lambda context: progress},
            run_config={
                "ops": {f"{corpus.name}__publication": {"config": {"reason": reason}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            tags={BY_TAG: Settings().by},
            raise_on_error=False,
        )
    failed_checks = [
        check for check in result.get_asset_check_evaluations() if not check.passed and check.description
    ]
    error = _step_error(result) or next((str(check.description) for check in failed_checks), None)
    refused = any(check.check_name == "gate" for check in failed_checks)
    if error is None and not result.success:
        error = "the run failed; see the Dagster log"
    record = RunRecords(ObjectStore.open(store), corpus.name).last()
    stages = record.get("stages", {}) if record.get("run_id") == result.run_id else {}
    published = stages.get("publication", {})
    gate = stages.get("evaluation", {}).get("passed")
    return RunOutcome(
        summary={
            **(summary({"stages": stages}) or {}),
            "published": bool(published.get("published")),
            "publication": published.get("publication"),
            "gate": None if gate is None else "passed" if gate else "refused",
            "error": error,
        },
        error=error,
        refused=refused,
    )


def _instance() -> dg.DagsterInstance:
    """The configured instance, or a passing one: all state that matters is in the store."""
    return dg.DagsterInstance.get() if os.environ.get("DAGSTER_HOME") else dg.DagsterInstance.ephemeral()


def _step_error(result: dg.ExecuteInProcessResult) -> str | None:
    """The message of the first failed step, without the trace."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            error = data.error
            while error is not None and error.cause is not None:
                error = error.cause
            return error.message.strip() if error is not None else "a step failed"
    return None
