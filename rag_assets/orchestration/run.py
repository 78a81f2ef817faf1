"""Run a corpus's assets in this process, as the command line and CI do.

The run is an ordinary Dagster run: with ``DAGSTER_HOME`` set it shows in the UI.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.errors import ConfigurationError, GateRefused
from rag_assets.orchestration.assets import corpus_assets
from rag_assets.orchestration.failures import message_of
from rag_assets.orchestration.quality import CHECK as QUALITY
from rag_assets.orchestration.resources import StoreResource
from rag_assets.orchestration.tags import BY_TAG
from rag_assets.pipeline.progress import Progress
from rag_assets.pipeline.runs import RunRecords, summary
from rag_assets.publication.log import PublicationLog
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        summary: the ``last_run`` object plus published, publication (what readers see now), gate,
            candidate (built, reused, unchanged or held) and report.
        error: what stopped it, or None.
        cause: whose turn it is then: the gate refused, the set-up is wrong, or something else failed.
    """

    summary: dict[str, Any]
    error: str | None
    cause: Literal["refused", "configuration", "failed"] | None


def run_corpus(
    corpus: Corpus, store: str, *, reason: str, progress: Progress, publish: bool = True
) -> RunOutcome:
    """Materialize all assets of a corpus.

    Args:
        corpus: the corpus file.
        store: store URL.
        reason: why, for the publication log.
        progress: told how far each stage has come.
        publish: False ends with the evaluation.
    """
    ops = {f"{corpus.name}__publication": {"config": {"reason": reason}}} if publish else {}
    with _instance() as instance:
        result = dg.materialize(
            corpus_assets(corpus),
            instance=instance,
            selection=None if publish else dg.AssetSelection.assets([corpus.name, "evaluation"]).upstream(),
            # Who only evaluates leaves events to those who publish them.
            resources={
                "store": StoreResource(url=store, take_events=publish),
                "progress": lambda context: progress,
            },
            run_config={
                "ops": ops,
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            tags={BY_TAG: Settings().by},
            raise_on_error=False,
        )
    error, cause = (None, None) if result.success else _failure(result)
    objects = ObjectStore.open(store)
    stages = RunRecords(objects, corpus.name).of(result.run_id).get("stages", {})
    head = PublicationLog(objects, corpus.name).head()
    published = stages.get("publication", {})
    if error and published.get("published") and head is not None:
        error = f"publication {head.number} is what readers see now, but what follows failed: {error}"
    gate = stages.get("evaluation", {}).get("passed")
    return RunOutcome(
        summary={
            **summary(stages),
            "published": bool(published.get("published")),
            "publication": head.number if head else None,
            "gate": None if gate is None else "passed" if gate else "refused",
            "candidate": stages.get("candidate", {}).get("state"),
            "report": stages.get("evaluation", {}).get("report"),
            "error": error,
        },
        error=error,
        cause=cause,
    )


def _instance() -> dg.DagsterInstance:
    """The configured instance, the one of ``make ui`` here, or a passing one: what matters is in the store."""
    if not os.environ.get("DAGSTER_HOME") and Path(".dagster/dagster.yaml").is_file():
        os.environ["DAGSTER_HOME"] = str(Path(".dagster").resolve())
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return dg.DagsterInstance.ephemeral()
    folder = Path(home).expanduser()
    if not (folder.is_absolute() and folder.is_dir()):
        raise ConfigurationError(
            f"environment DAGSTER_HOME: found {home!r}; allowed: the absolute path of a folder that exists, or unset"
        )
    return dg.DagsterInstance.get()


def _failure(result: dg.ExecuteInProcessResult) -> tuple[str, Literal["refused", "configuration", "failed"]]:
    """What stopped a run, without the trace: a check's finding, or the message of the first failed step."""
    for check in result.get_asset_check_evaluations():
        if check.passed or check.severity is not dg.AssetCheckSeverity.ERROR:
            continue  # a warning stops nothing
        if check.check_name == QUALITY:
            return _quality_failure(check), "failed"
        return str(check.description), "refused" if check.check_name == "gate" else "failed"
    retried: str | None = None
    for event in result.all_events:
        if event.is_step_up_for_retry:
            retried = message_of(event.step_retry_data.error)
        if event.is_step_failure:
            known, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
            if known is not None:
                found = {name: value.value for name, value in known.metadata.items()}
                if found.get("error") == GateRefused.__name__:
                    return str(known.description), "refused"
                wrong_set_up = found.get("family") == ConfigurationError.__name__
                return str(known.description), "configuration" if wrong_set_up else "failed"
            # When retries are used up, Dagster reports their number and not the error.
            return retried or message_of(error) or "a step failed; see the Dagster log", "failed"
    return "the run failed; see the Dagster log", "failed"


def _quality_failure(check: dg.AssetCheckEvaluation) -> str:
    found = str(check.description).replace("\n", "\n  ")
    report = check.metadata["report"].value
    return (
        f"data quality of {check.asset_key.path[-1]}: errors stop what follows\n  {found}\nReport  {report}"
    )
