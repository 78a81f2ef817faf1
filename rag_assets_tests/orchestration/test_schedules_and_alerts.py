"""What starts by itself, and who is told when it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from rag_assets.corpus import load_corpus
from rag_assets.errors import ConfigurationError, CorpusFileError, DataError, TargetUnavailable
from rag_assets.events.inbox import Change, open_inbox
from rag_assets.orchestration.alerts import URL_VARIABLE, send
from rag_assets.orchestration.build import build_definitions
from rag_assets.orchestration.resources import StoreResource
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.settings import Settings
from rag_assets_tests.workspace import Workspace, document


def definitions(root: Path, **settings: Any) -> tuple[Workspace, dg.Definitions]:
    workspace = Workspace(root, str(root / "store"), **settings)
    return workspace, build_definitions({"handbook": workspace.corpus})


def test_a_schedule_starts_a_whole_run_on_the_clock_of_its_time_zone(tmp_path: Path) -> None:
    _, found = definitions(tmp_path, schedule={"cron": "30 2 * * *", "timezone": "Europe/Berlin"})
    schedule = found.resolve_schedule_def("handbook_schedule")
    assert schedule.job_name == "handbook_job"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.execution_timezone == "Europe/Berlin"
    at = datetime(2026, 3, 28, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=at)
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.tags["rag_assets/by"] == "schedule"


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"cron": "61 * * * *"}, "schedule.cron"),
        ({"cron": "* * * *"}, "schedule.cron"),
        ({"cron": "0 0 31 2 *"}, "schedule.cron"),
        ({"cron": "0 3 * * *", "timezone": "Berlin"}, "schedule.timezone"),
    ],
)
def test_a_schedule_that_can_never_be_is_refused_at_load(
    tmp_path: Path, schedule: dict[str, str], words: str
) -> None:
    with pytest.raises(CorpusFileError, match=words):
        load_corpus(Workspace(tmp_path, str(tmp_path / "store"), schedule=schedule).path)


def test_freshness_is_a_policy_of_the_publication(tmp_path: Path) -> None:
    _, found = definitions(tmp_path, freshness={"fail_hours": 26, "warn_hours": 20})
    key = dg.AssetKey(["handbook", "publication"])
    policy = found.resolve_asset_graph().get(key).freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(timedelta(hours=26), timedelta(hours=20))


def test_sensors_and_schedules_are_there_only_where_a_corpus_file_asks_for_them(tmp_path: Path) -> None:
    _, found = definitions(tmp_path)
    repository = found.get_repository_def()
    assert not repository.has_sensor_def("handbook_inbox")
    assert {job.name for job in repository.get_all_jobs()} == {"handbook_job", "__ASSET_JOB"}
    assert [*repository.schedule_defs] == []


class Automated:
    """A corpus with automation, evaluated tick by tick as the daemon does."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.workspace = Workspace(root, str(root / "store"), automation=True)
        self.instance = instance
        self.cursor: Any = None

    def tick(self, at: datetime | None = None) -> set[str]:
        found = build_definitions({"handbook": self.workspace.corpus})
        result = dg.evaluate_automation_conditions(
            defs=found,
            instance=self.instance,
            asset_selection=dg.AssetSelection.groups("handbook"),
            cursor=self.cursor,
            evaluation_time=at,
        )
        self.cursor = result.cursor
        graph = found.resolve_asset_graph()
        return {key.path[-1] for key in graph.get_all_asset_keys() if result.get_num_requested(key)}

    def run(self, stages: set[str]) -> bool:
        found = build_definitions({"handbook": self.workspace.corpus})
        return (
            found.resolve_implicit_global_asset_job_def()
            .get_subset(asset_selection={dg.AssetKey(["handbook", stage]) for stage in stages})
            .execute_in_process(
                instance=self.instance,
                run_config={
                    "resources": {"store": {"config": {"url": self.workspace.store}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                raise_on_error=False,
            )
            .success
        )


@pytest.fixture
def automated(tmp_path: Path) -> Iterator[Automated]:
    with dg.DagsterInstance.ephemeral() as instance:
        found = Automated(tmp_path, instance)
        found.workspace.write("a.md", document(1))
        found.workspace.write("b.md", document(2))
        yield found


EVERYTHING = {"documents", "chunks", "embeddings", "index", "evaluation", "publication"}


def test_automation_builds_what_is_missing_once_and_then_rests(automated: Automated) -> None:
    assert automated.tick() == EVERYTHING
    assert automated.run(EVERYTHING)
    assert [automated.tick() for _ in range(3)] == [set()] * 3


def test_automation_runs_what_a_changed_corpus_file_makes_stale(automated: Automated) -> None:
    automated.run(automated.tick())
    automated.tick()
    automated.workspace.configure(automation=True, chunking={"max_tokens": 64})
    requested = automated.tick()
    assert "chunks" in requested and "documents" not in requested
    assert automated.run(requested)
    assert automated.tick() == set()


def test_automation_starts_nothing_when_a_run_changed_nothing(automated: Automated) -> None:
    automated.run(automated.tick())
    automated.tick()
    assert automated.run({"documents"})
    assert automated.tick() == set()


def test_automation_loses_no_change_to_a_failed_run_and_does_not_loop_over_it(
    automated: Automated, monkeypatch: pytest.MonkeyPatch
) -> None:
    automated.run(automated.tick())
    automated.tick()
    automated.workspace.write("c.md", document(3))
    assert automated.run({"documents"})
    now = datetime.now(UTC)

    def broken(self: Pipeline) -> None:
        raise DataError("the model is broken")

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "embeddings", broken)
        requested = automated.tick(now)
        assert {"chunks", "embeddings", "index"} <= requested
        assert not automated.run(requested)
        assert [automated.tick(now + timedelta(seconds=30 * tick)) for tick in range(1, 3)] == [set()] * 2
        later = now + timedelta(hours=1, minutes=1)
        again = automated.tick(later)
        assert "embeddings" in again
        assert not automated.run(again)
        assert automated.tick(later + timedelta(seconds=30)) == set()
    last = automated.tick(later + timedelta(hours=1))
    assert automated.run(last)
    assert automated.workspace.rows()["document_id"].n_unique() == 3


def test_automation_runs_nothing_behind_a_check_that_failed(automated: Automated) -> None:
    automated.run(automated.tick())
    automated.tick()
    for number in range(3):
        automated.workspace.write(f"broken{number}.pdf", "no PDF at all")
    assert not automated.run({"documents"}), "too many documents are quarantined"
    assert automated.tick() == set()
    for number in range(3):
        (automated.workspace.documents / f"broken{number}.pdf").unlink()
    automated.workspace.write("c.md", document(3))
    assert automated.run({"documents"})
    assert "chunks" in automated.tick()


@contextmanager
def chat(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """A chat's incoming webhook that answers with these statuses in turn, the last one for ever."""
    texts: list[str] = []
    answers = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            texts.append(json.loads(body)["text"])
            self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/services/T0/secret", texts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_failed_run_is_told_to_a_chat_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat(503, 200) as (url, texts), dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv(URL_VARIABLE, url)
        workspace, found = definitions(tmp_path)
        job = found.resolve_job_def("handbook_job")
        result = job.execute_in_process(
            instance=instance,
            run_config={
                "resources": {"store": {"config": {"url": workspace.store}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )
        assert not result.success
        sensor = found.resolve_sensor_def("alerts")
        context = dg.build_run_status_sensor_context(
            sensor_name="alerts",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        sensor(context)
    assert len(texts) == 2, "the first answer was 503"
    assert "handbook_job failed" in texts[1]
    assert "corpus: handbook" in texts[1]
    assert "no readable document" in texts[1]
    assert result.run_id in texts[1]


def test_events_that_a_run_sets_aside_are_told_to_a_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chat(200) as (url, texts), dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv(URL_VARIABLE, url)
        workspace, found = definitions(tmp_path, events={"watch": {}, "debounce_seconds": 0})
        monkeypatch.setenv("RAG_STORE", workspace.store)
        workspace.write("a.md", document(1))

        def run(*events: Change) -> None:
            inbox = open_inbox(Settings(store=workspace.store))
            for event in events:
                inbox.accept("handbook", [event])
            inbox.close()
            result = found.resolve_job_def("handbook_job").execute_in_process(
                instance=instance,
                run_config={
                    "resources": {"store": {"config": {"url": workspace.store}}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
            )
            found.resolve_sensor_def("alerts_of_events")(
                dg.build_run_status_sensor_context(
                    sensor_name="alerts_of_events",
                    dagster_event=result.get_run_success_event(),
                    dagster_instance=instance,
                    dagster_run=result.dagster_run,
                )
            )

        run()
        assert texts == []
        run(Change("e1", "nowhere.md", "updated", datetime.now(UTC), "test"))
    (text,) = texts
    assert "1 events were set aside" in text
    assert "rag-assets inbox list handbook --state dead" in text


@pytest.mark.parametrize(
    "address", ["hooks.example/T0/secret", "ftp://host/secret", "https://", "http://[secret"]
)
def test_what_is_no_address_is_refused_at_load_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv(URL_VARIABLE, address)
    with pytest.raises(ConfigurationError, match=rf"environment {URL_VARIABLE}: .*allowed") as caught:
        definitions(tmp_path)
    assert "secret" not in str(caught.value)


def test_an_alert_that_cannot_be_sent_does_not_show_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.orchestration.alerts.PATIENCE_SECONDS", 0)
    with chat(404) as (url, _), pytest.raises(TargetUnavailable) as refused:
        send(url, "text")
    with pytest.raises(TargetUnavailable) as unreachable:
        send("http://127.0.0.1:9/services/T0/secret", "text")
    for message in (str(refused.value), str(unreachable.value)):
        assert "secret" not in message
        assert URL_VARIABLE in message


def test_without_an_address_there_is_no_alert_sensor(tmp_path: Path) -> None:
    _, found = definitions(tmp_path)
    assert not found.get_repository_def().has_sensor_def("alerts")
    assert StoreResource(url="x").inbox(load_corpus(tmp_path / "corpora" / "handbook.yaml")) is None
