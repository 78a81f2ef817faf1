"""Alerts: a failed run, or events that were set aside, as a message to a chat through one incoming webhook.

The payload ``{"text": …}`` is understood by Slack, Mattermost, Rocket.Chat, Google Chat and others.
The address is a secret (who knows it may write into the channel), so it comes from the environment
and is never shown.
"""

from __future__ import annotations

import os

import dagster as dg
import httpx
from pydantic import HttpUrl, TypeAdapter, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from rag_assets.errors import ConfigurationError, TargetUnavailable, redacted
from rag_assets.orchestration.events import CHECK as EVENTS
from rag_assets.orchestration.failures import message_of
from rag_assets.orchestration.tags import BY_TAG, CORPUS_TAG

URL_VARIABLE = "RAG_ALERT_URL"
TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 35.0
"""Dagster ends a tick after 60, and does not come back to a failure that was not told."""
LONGEST_TEXT = 2_000


def alert_sensor() -> list[dg.SensorDefinition]:
    """The sensors that tell of failed runs, and of runs that set events aside; none where ``RAG_ALERT_URL`` is not set.

    Raises:
        ConfigurationError: the variable holds no address.
    """
    address = os.environ.get(URL_VARIABLE)
    if not address:
        return []
    _require_address(address)

    @dg.run_failure_sensor(
        name="alerts",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells {URL_VARIABLE} of every failed run.",
    )
    def failed(context: dg.RunFailureSensorContext) -> None:
        send(address, describe(context))

    @dg.run_status_sensor(
        name="alerts_of_events",
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells {URL_VARIABLE} of events that a run had to set aside.",
    )
    def set_aside(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        found = _set_aside(context.instance, run.run_id)
        if not found:
            return dg.SkipReason("every event had an effect")
        send(
            address,
            "\n".join([f"rag-assets: {run.job_name}: {line}" for line in found] + [f"run: {run.run_id}"]),
        )
        return None

    return [failed, set_aside]


def describe(context: dg.RunFailureSensorContext) -> str:
    """What failed, where and for whom, in a few lines without secrets."""
    run = context.dagster_run
    corpus = run.tags.get(CORPUS_TAG)
    found = [
        f"check {check.check_name} of {check.asset_key.to_user_string()}: {check.description}"
        for check in _failed_checks(context.instance, run.run_id)
        if check.severity == dg.AssetCheckSeverity.ERROR
    ]
    # A check that failed fails its step, too, and says more.
    found = found or [_step(context, event) for event in context.get_step_failure_events()]
    lines = [
        f"rag-assets: {run.job_name} failed",
        *([f"corpus: {corpus}; readers still see what was published before"] if corpus else []),
        f"run: {run.run_id}, wanted by {run.tags.get(BY_TAG, 'a person')}",
        # Where no step failed, the process was ended from outside.
        *(found or [context.failure_event.message or "the process was ended"]),
        *_set_aside(context.instance, run.run_id),
    ]
    return redacted("\n".join(lines))[:LONGEST_TEXT]


def _failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [
        entry.dagster_event.asset_check_evaluation_data
        for entry in entries
        if entry.dagster_event is not None
    ]
    return [check for check in found if not check.passed]


def _set_aside(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [
        str(check.description) for check in _failed_checks(instance, run_id) if check.check_name == EVENTS
    ]


def _require_address(address: str) -> None:
    try:
        TypeAdapter(HttpUrl).validate_python(address)
    except ValidationError:  # neither it nor the address is shown: it may be a secret that was cut off
        raise ConfigurationError(
            f"environment {URL_VARIABLE}: found what is no address; allowed: https://…, an incoming webhook's, or unset"
        ) from None


def _step(context: dg.RunFailureSensorContext, event: dg.DagsterEvent) -> str:
    """A failed step and its reason: where retries are used up, Dagster reports only their number."""
    known, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
    if known is not None:
        return f"{event.step_key}: {known.description}"
    for entry in context.instance.all_logs(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY
    ):
        if entry.dagster_event is not None and entry.dagster_event.step_key == event.step_key:
            error = entry.dagster_event.step_retry_data.error or error
    return f"{event.step_key}: {message_of(error) or 'failed'}"


def send(url: str, text: str) -> None:
    """Post a message, again when the other side is busy or unreachable.

    Raises:
        TargetUnavailable: it was not taken after all attempts. Does not show the address.
    """
    attempts = Retrying(
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_exponential_jitter(initial=1, max=10),
        retry=retry_if_exception_type(TargetUnavailable),
        reraise=True,
    )
    attempts(_post, url, text)


def _post(url: str, text: str) -> None:
    try:
        status = httpx.post(url, json={"text": text}, timeout=TIMEOUT_SECONDS).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Its words may hold the address.
        raise TargetUnavailable(f"{URL_VARIABLE}: {type(error).__name__}") from None
    if status >= 300:
        raise TargetUnavailable(f"{URL_VARIABLE}: answered {status}")
