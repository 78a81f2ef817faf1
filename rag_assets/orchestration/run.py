"""Run a corpus's assets in this process, as the command line and CI do.

The run is an ordinary Dagster run: with ``DAGSTER_HOME`` set it shows in the UI.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.materialize import EPHEMERAL_JOB_NAME as JOB
from dagster._core.execution.execute_in_process import core_execute_in_process

from rag_assets.corpus import Corpus
from rag_assets.errors import ConfigurationError, GateRefused
from rag_assets.evaluation.report.files import find_report
from rag_assets.evaluation.report.refusal import refusal_reasons, why_not_measured
from rag_assets.evaluation.report.regression import regressions_of
from rag_assets.evaluation.report.report import Report
from rag_assets.orchestration.assets import corpus_assets
from rag_assets.orchestration.command_runs import COMMAND_TAG, Watch, clear_away, command_run
from rag_assets.orchestration.failures import message_of
from rag_assets.orchestration.home import open_instance
from rag_assets.orchestration.interruption import Interruption
from rag_assets.orchestration.quality import CHECK as QUALITY
from rag_assets.orchestration.resources import StoreResource
from rag_assets.orchestration.tags import BY_TAG, CORPUS_TAG
from rag_assets.orchestration.waiting import Patience, patient_executor
from rag_assets.pipeline.quarantine import quarantined_documents
from rag_assets.pipeline.runs import RunRecords, summary
from rag_assets.progress import Progress
from rag_assets.publication.log import PublicationLog
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import SnapshotStore

PATIENCE = Patience(seconds=3600.0, tell=lambda line: None)


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        summary: the ``last_run`` object plus published, publication (what readers see now), gate,
            candidate (built, reused, unchanged or held), report, and what the report and the quarantine say.
        report: on the candidate, if the run came that far; it knows whether it is of what is published.
        error: what stopped it, or None.
        cause: whose turn it is then: the gate refused, the set-up is wrong, or something else failed.
    """

    summary: dict[str, Any]
    report: Report | None
    error: str | None
    cause: Literal["refused", "configuration", "failed"] | None


def run_corpus(
    corpus: Corpus,
    store: str,
    *,
    reason: str,
    progress: Progress,
    publish: bool = True,
    patience: Patience = PATIENCE,
    interruption: Interruption | None = None,
) -> RunOutcome:
    """Materialize all assets of a corpus.

    Args:
        corpus: the corpus file.
        store: store URL.
        reason: why, for the publication log.
        progress: told how far each stage has come.
        publish: False ends with the evaluation.
        patience: how to wait for other runs.
        interruption: whether the process was told to end.

    Raises:
        KeyboardInterrupt: the process was told to end before all was done.
    """
    run_id = str(uuid.uuid4())
    command = "run" if publish else "evaluate"
    tags = {BY_TAG: Settings().by, CORPUS_TAG: corpus.name, COMMAND_TAG: command}
    executor = patient_executor(f"{corpus.name}_command_line", patience, interruption)
    with open_instance() as instance:
        clear_away(instance, Watch())
        with command_run(instance, run_id, tags, interruption) as all_tags:
            result = core_execute_in_process(
                job=InMemoryJob(_job(corpus, store, progress, publish).with_executor_def(executor)),
                run_config={
                    "ops": {f"{corpus.name}__publication": {"config": {"reason": reason}}} if publish else {},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                instance=instance,
                output_capturing_enabled=False,
                raise_on_error=False,
                run_tags=all_tags,
                run_id=run_id,
            )
    if not result.success and interruption is not None and interruption.signal is not None:
        raise KeyboardInterrupt
    error, cause = (None, None) if result.success else _failure(result)
    objects = ObjectStore.open(store)
    stages = RunRecords(objects, corpus.name).of(result.run_id).get("stages", {})
    head = PublicationLog(objects, corpus.name).head()
    published = stages.get("publication", {})
    if error and published.get("published") and head is not None:
        error = f"publication {head.number} is what readers see now, but what follows failed: {error}"
    candidate, place = stages.get("candidate", {}).get("state"), stages.get("evaluation", {}).get("report")
    report = find_report(objects, place) if place else None
    if report is not None and head is not None and candidate in ("unchanged", "held"):
        report = report.model_copy(update={"publication": head.number})
    snapshots = SnapshotStore(objects, corpus.name)
    snapshot = snapshots.latest()
    return RunOutcome(
        summary={
            **summary(stages),
            "published": bool(published.get("published")),
            "publication": head.number if head else None,
            "gate": stages.get("evaluation", {}).get("gate"),
            "candidate": candidate,
            "report": place,
            "error": error,
            "refused": list(refusal_reasons(report)) if report else [],
            "not_measured": why_not_measured(report) if report else None,
            "worse": regressions_of(report) if report else [],
            "lost": [one.model_dump(mode="json") for one in report.lost] if report else [],
            "warnings": list(report.warnings) if report else [],
            "quarantined": snapshot.quarantined,
            "quarantined_documents": quarantined_documents(snapshots, snapshot),
        },
        report=report,
        error=error,
        cause=cause,
    )


def _job(corpus: Corpus, store: str, progress: Progress, publish: bool) -> dg.JobDefinition:
    """What ``dg.materialize`` executes. That chooses the executor itself, though."""
    upstream = dg.AssetSelection.assets([corpus.name, "evaluation"]).upstream()
    job = dg.Definitions(
        assets=corpus_assets(corpus),
        jobs=[dg.define_asset_job(JOB, selection=None if publish else upstream)],
        resources={
            # Who only evaluates leaves events to those who publish them.
            "store": StoreResource(url=store, take_events=publish),
            "progress": lambda context: progress,
        },
    ).resolve_job_def(JOB)
    return job.as_ephemeral_job(resource_defs={}, input_values={})


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
        if event.event_type is dg.DagsterEventType.RUN_FAILURE:
            return message_of(event.job_failure_data.error) or "the run failed; see the Dagster log", "failed"
    return "the run was cancelled; see the Dagster log", "failed"


def _quality_failure(check: dg.AssetCheckEvaluation) -> str:
    found = str(check.description).replace("\n", "\n  ")
    report = check.metadata["report"].value
    return (
        f"data quality of {check.asset_key.path[-1]}: errors stop what follows\n  {found}\nReport  {report}"
    )
