"""Alerts: a failed run as a message to a chat, through one incoming webhook.

The payload ``{"text": …}`` is understood by Slack, Mattermost, Rocket.Chat, Google Chat and others.
The address is a secret (who knows it may write into the channel), so it comes from the environment
and is never shown.
"""

from __future__ import annotations

import os

import dagster as dg
import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from rag_assets.errors import TargetUnavailable, redacted
from rag_assets.orchestration.failures import message_of
from rag_assets.orchestration.tags import BY_TAG, CORPUS_TAG

URL_VARIABLE = "RAG_ALERT_URL"
TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 35.0
"""Dagster ends a tick after 60, and does not come back to a failure that was not told."""
LONGEST_TEXT = 2_000


def alert_sensor() -> list[dg.SensorDefinition]:
    """The sensor that tells of failed runs; none where ``RAG_ALERT_URL`` is not set."""
    if not os.environ.get(URL_VARIABLE):
        return []

    @dg.run_failure_sensor(
        name="alerts",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells {URL_VARIABLE} of every failed run.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> None:
        send(os.environ[URL_VARIABLE], describe(context))

    return [sensor]


def describe(context: dg.RunFailureSensorContext) -> str:
    """What failed, where and for whom, in a few lines without secrets."""
    run = context.dagster_run
    corpus = run.tags.get(CORPUS_TAG)
    checks = context.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [
        f"check {check.check_name} of {check.asset_key.to_user_string()}: {check.description}"
        for entry in checks
        if entry.dagster_event is not None
        and not (check := entry.dagster_event.asset_check_evaluation_data).passed
        and check.severity == dg.AssetCheckSeverity.ERROR
    ]
    # A check that failed fails its step, too, and says more.
    found = found or [_step(context, event) for event in context.get_step_failure_events()]
    lines = [
        f"rag-assets: {run.job_name} failed",
        *([f"corpus: {corpus}; readers still see what was published before"] if corpus else []),
        f"run: {run.run_id}, wanted by {run.tags.get(BY_TAG, 'a person')}",
        # Where no step failed, the process was ended from outside.
        *(found or [context.failure_event.message or "the process was ended"]),
    ]
    return redacted("\n".join(lines))[:LONGEST_TEXT]


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
