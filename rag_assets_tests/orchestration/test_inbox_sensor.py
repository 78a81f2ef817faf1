"""Sensors through real ticks: when a run starts, when not, and what happens after a crash in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from rag_assets.corpus import Events, Watch
from rag_assets.errors import InboxUnavailable, StoreUnavailable
from rag_assets.events.inbox import Change, Inbox, Pending
from rag_assets.events.inbox.event import Kind
from rag_assets.ingest.sources import PushSource
from rag_assets.orchestration import inbox as sensors
from rag_assets.orchestration import watch
from rag_assets.orchestration.inbox import Wait, due
from rag_assets.orchestration.run import run_corpus
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.progress import silent
from rag_assets.publication.publish import rollback
from rag_assets_tests.orchestration.daemon import RUN_KEY, Daemon
from rag_assets_tests.workspace import Workspace, document

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUIET: dict[str, Any] = {"debounce_seconds": 0, "max_attempts": 3}


def pending(count: int = 1, urgent: int = 0, oldest: float = 0, newest: float = 0) -> Pending:
    return Pending(count, urgent, NOW - timedelta(seconds=oldest), NOW - timedelta(seconds=newest), count, 0)


@pytest.mark.parametrize(
    ("waiting", "starts"),
    [
        (Pending(0, 0, None, None, 0, 0), False),
        (pending(newest=1, oldest=1), False),
        (pending(newest=2, oldest=2), True),
        (pending(count=9, newest=1, oldest=59), False),
        (pending(count=9, newest=1, oldest=60), True),
        (pending(count=9, urgent=1, newest=0, oldest=0), True),
    ],
)
def test_a_run_starts_when_it_is_quiet_or_an_event_has_waited_long_enough(
    waiting: Pending, starts: bool
) -> None:
    events = Events(watch=Watch(), debounce_seconds=2, max_delay_seconds=60)
    assert isinstance(due(waiting, events, NOW), Wait) is not starts


class Place:
    """A corpus, an instance, and what the daemon does with the ticks of a sensor."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, **events: Any) -> None:
        folder = {"type": "folder", "path": str(root / "handbook-documents")}
        self.workspace = Workspace(
            root,
            str(root / "store"),
            sources=[folder, {"type": "push", "prefix": "cms/"}],
            events={"watch": {}, **QUIET, **events},
            parsing={"workers": 1, "max_quarantined_share": 0.5},
            gate={"max_removed_share": 1},
        )
        self.instance = instance
        self.inbox = Inbox.open(f"sqlite:///{root}/store/inbox.sqlite")
        self.daemon = Daemon(instance, self.workspace.corpus, self.workspace.store)

    def accept(self, event: str, document: str, kind: Kind = "updated", text: str | None = None) -> None:
        content = None if text is None else text.encode()
        self.inbox.accept("handbook", [Change(event, document, kind, datetime.now(UTC), "test", content)])

    def tick(self, name: str = "handbook_inbox") -> list[dg.RunRequest] | str:
        return self.daemon.tick(name)

    def start(self, request: dg.RunRequest, job: str = "handbook_events") -> dg.ExecuteInProcessResult:
        return self.daemon.start(job, request)

    def queue(self, request: dg.RunRequest) -> dg.DagsterRun:
        """A run that the daemon has made and that has not begun."""
        job = self.daemon.definitions.resolve_job_def("handbook_events")
        return self.instance.create_run_for_job(
            job,
            run_config=request.run_config,
            tags={**job.tags, **request.tags, RUN_KEY: str(request.run_key)},
        )

    def states(self) -> dict[str, str]:
        return {entry.event: entry.state for entry in self.inbox.list("handbook")}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def place(tmp_path: Path, instance: dg.DagsterInstance) -> Place:
    found = Place(tmp_path, instance)
    for name, seed in (("a.md", 1), ("b.md", 2)):
        found.workspace.write(name, document(seed))
        os.utime(found.workspace.documents / name, (1_700_000_000,) * 2)  # a young file is looked at again
    found.workspace.run()
    return found


def one(requests: list[dg.RunRequest] | str) -> dg.RunRequest:
    assert isinstance(requests, list), requests
    (request,) = requests
    return request


def test_all_events_of_a_burst_become_one_run_which_publishes_them(place: Place) -> None:
    assert place.tick() == "no event waits"
    for number in range(5):
        place.accept(f"e{number}", f"cms/{number}.md", "created", f"Document {number}.")
    result = place.start(one(place.tick()))
    assert result.success
    assert set(place.states().values()) == {"done"}
    assert {f"cms/{number}.md" for number in range(5)} < set(place.workspace.rows()["document_id"])
    assert place.tick() == "no event waits"
    (checked,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "events"]
    assert checked.passed
    published = place.workspace.pipeline()[0].log.head()
    assert published is not None
    assert (published.reason, published.by) == ("5 events", "events")


def test_a_tick_that_is_repeated_after_a_crash_asks_for_the_same_run(place: Place) -> None:
    place.accept("e1", "a.md")
    first = one(place.tick())
    place.queue(first)
    place.instance.delete_run(place.instance.get_runs()[0].run_id)  # it was lost before it was launched
    assert one(place.tick()).run_key == first.run_key


def test_no_second_run_starts_while_one_is_queued_and_what_came_meanwhile_waits(place: Place) -> None:
    place.accept("e1", "a.md")
    run = place.queue(one(place.tick()))
    place.accept("e2", "b.md")
    assert "not done" in str(place.tick())
    place.instance.report_run_canceled(run)
    assert isinstance(place.tick(), str)  # a moment of rest first


def test_a_whole_run_is_waited_for_but_not_by_an_erasure(place: Place) -> None:
    place.accept("e1", "a.md")
    job = place.daemon.definitions.resolve_job_def("handbook_job")
    place.instance.create_run_for_job(job, tags=job.tags)
    assert "whole run" in str(place.tick())
    place.accept("e2", "b.md", "erase")
    assert one(place.tick())


def test_who_only_evaluates_leaves_events_where_they_are(place: Place) -> None:
    place.accept("e1", "cms/x.md", "created", "x")
    outcome = run_corpus(
        place.workspace.corpus, place.workspace.store, reason="", progress=silent, publish=False
    )
    assert outcome.error is None
    assert place.states() == {"e1": "pending"}


def test_a_run_from_the_command_line_takes_events_too(place: Place) -> None:
    place.accept("e1", "cms/x.md", "created", "x")
    outcome = run_corpus(place.workspace.corpus, place.workspace.store, reason="", progress=silent)
    assert outcome.error is None
    assert place.states() == {"e1": "done"}


def test_a_run_that_publishes_and_cannot_tell_a_target_says_both(place: Place) -> None:
    target = {
        "name": "hook",
        "type": "webhook",
        "url": "http://127.0.0.1:9/",
        "secret_variable": "HOOK_SECRET",
    }
    place.workspace.configure(
        sources=place.workspace.corpus.model_dump(mode="json")["sources"],
        events={"watch": {}, **QUIET},
        invalidation={"targets": [target]},
    )
    place.accept("e1", "cms/x.md", "created", "x")
    outcome = run_corpus(place.workspace.corpus, place.workspace.store, reason="", progress=silent)
    assert outcome.summary["published"]
    assert outcome.cause == "configuration"
    assert str(outcome.error).startswith("publication 2 is what readers see now, but what follows failed: ")
    assert "HOOK_SECRET" in str(outcome.error)


def test_a_run_that_failed_is_tried_again_later_under_another_key(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept("e1", "cms/x.md", "created", "x")
    first = one(place.tick())
    run = place.queue(first)
    place.instance.report_run_failed(run)  # killed before it took any event
    assert "failed" in str(place.tick())
    monkeypatch.setattr(sensors, "BACKOFF_SECONDS", 0)
    second = one(place.tick())
    assert second.run_key != first.run_key
    assert place.start(second).success
    assert place.states() == {"e1": "done"}


def test_a_poison_event_is_shown_by_a_check_and_harms_no_other(place: Place) -> None:
    place.accept("good", "cms/x.md", "created", "x")
    place.accept("poison", "cms/p.pdf", "created", "no PDF")
    result = place.start(one(place.tick()))
    assert result.success
    assert place.states() == {"good": "done", "poison": "dead"}
    (checked,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "events"]
    assert not checked.passed
    assert "inbox list handbook" in str(checked.description)
    assert place.tick() == "no event waits"


def test_a_gate_that_refuses_leaves_events_applied_and_starts_no_run_again(
    place: Place,
) -> None:
    place.workspace.configure(
        sources=place.workspace.corpus.model_dump(mode="json")["sources"],
        events={"watch": {}, **QUIET},
        gate={"max_removed_share": 0},
    )
    place.daemon.load(place.workspace.corpus)
    place.accept("e1", "b.md", "erase")
    assert not place.start(one(place.tick())).success
    assert place.states() == {"e1": "applied"}
    assert "gate refused" in str(place.tick())
    place.workspace.configure(
        sources=place.workspace.corpus.model_dump(mode="json")["sources"],
        events={"watch": {}, **QUIET},
        gate={"max_removed_share": 1},
    )
    place.daemon.load(place.workspace.corpus)
    assert place.start(dg.RunRequest(run_key="nightly"), "handbook_job").success
    assert place.states() == {"e1": "done"}
    assert set(place.workspace.rows()["document_id"]) == {"a.md"}


def test_events_of_a_run_that_died_after_its_first_stage_are_published_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept("e1", "b.md", "erase")

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store is down")

    with monkeypatch.context() as patch:
        patch.setattr("rag_assets.orchestration.declare.RETRY", None)
        patch.setattr(Pipeline, "embeddings", down)
        place.daemon.load(place.workspace.corpus)
        assert not place.start(one(place.tick())).success
    assert place.states() == {"e1": "applied"}
    assert "later" in str(place.tick())
    monkeypatch.setattr(sensors, "BACKOFF_SECONDS", 0)
    assert place.start(one(place.tick())).success
    assert place.states() == {"e1": "done"}
    assert set(place.workspace.rows()["document_id"]) == {"a.md"}


def test_events_that_never_get_published_start_no_runs_without_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept("e1", "b.md", "erase")

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("the store is down")

    monkeypatch.setattr(sensors, "BACKOFF_SECONDS", 0)
    monkeypatch.setattr("rag_assets.orchestration.declare.RETRY", None)
    monkeypatch.setattr(Pipeline, "embeddings", down)
    place.daemon.load(place.workspace.corpus)
    for _ in range(QUIET["max_attempts"]):
        assert not place.start(one(place.tick())).success
    assert "3 runs in a row have failed" in str(place.tick())


def test_what_a_rollback_holds_back_starts_no_runs_without_end(place: Place) -> None:
    place.accept("e1", "cms/x.md", "created", "x")
    assert place.start(one(place.tick())).success
    rollback(place.workspace.objects, "handbook", None, reason="test", by="test")
    place.accept("e2", "a.md")
    assert place.start(one(place.tick())).success
    assert place.states() == {"e1": "done", "e2": "applied"}
    assert "rollback holds" in str(place.tick())
    (place.workspace.documents / "c.md").write_text(document(3))
    place.accept("e3", "c.md", "created")
    assert place.start(one(place.tick())).success, "what is new is not held"
    assert set(place.states().values()) == {"done"}


def test_a_dead_event_that_is_retried_starts_a_run(place: Place) -> None:
    place.accept("e1", "new.md", "created")
    assert place.start(one(place.tick())).success
    assert place.states() == {"e1": "dead"}
    place.workspace.write("new.md", document(3))
    place.inbox.retry("handbook", "e1")
    assert place.start(one(place.tick())).success
    assert place.states() == {"e1": "done"}


def test_assets_that_are_materialized_by_hand_are_waited_for(place: Place) -> None:
    place.accept("e1", "a.md")
    job = place.daemon.definitions.resolve_implicit_global_asset_job_def()
    place.instance.create_run_for_job(
        job, asset_selection=frozenset({dg.AssetKey(["handbook", "documents"])})
    )
    assert "not done" in str(place.tick())


def test_a_look_does_not_announce_what_events_push(place: Place) -> None:
    place.accept("e1", "cms/x.md", "created", "one")
    assert place.start(one(place.tick())).success
    place.inbox.accept("handbook", [Change("e2", "cms/x.md", "updated", datetime.now(UTC), "test", b"two")])
    source = PushSource(place.workspace.objects, "handbook", "cms/")
    source.put("cms/x.md", b"half way", ".md")
    assert place.tick("handbook_watch") == "nothing changed"
    source.delete("cms/x.md")
    assert place.tick("handbook_watch") == "nothing changed"


def test_a_first_look_that_failed_is_tried_again(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    place = Place(tmp_path, instance)
    place.workspace.documents.rmdir()  # not mounted yet
    assert not place.start(one(place.tick("handbook_watch")), "handbook_job").success
    place.workspace.write("a.md", document(1))
    assert place.start(one(place.tick("handbook_watch")), "handbook_job").success


def test_a_database_that_is_down_fails_the_tick_and_loses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.accept("e1", "a.md")

    def down(*_: object) -> None:
        raise InboxUnavailable("the database is down")

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "pending", down)
        with pytest.raises(InboxUnavailable, match="the database is down"):
            place.tick()
    assert place.start(one(place.tick())).success


def test_a_look_puts_what_differs_into_the_inbox_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "YOUNG", timedelta(0))
    for name, seed in (("a.md", 11), ("new.md", 12)):
        place.workspace.write(name, document(seed))
        os.utime(place.workspace.documents / name, (1_700_000_000,) * 2)
    (place.workspace.documents / "b.md").unlink()
    assert place.tick("handbook_watch") == "3 changed documents put into the inbox"
    assert place.tick("handbook_watch") == "nothing changed"
    assert place.start(one(place.tick())).success
    assert set(place.workspace.rows()["document_id"]) == {"a.md", "new.md"}
    # A file that came back to what it was is another change.
    place.workspace.write("a.md", document(1))
    assert place.tick("handbook_watch") != "nothing changed"


def test_a_file_that_may_still_be_written_waits_for_the_next_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "YOUNG", timedelta(hours=1))
    place.workspace.write("a.md", document(11))
    assert place.tick("handbook_watch") == "nothing changed"
    monkeypatch.setattr(watch, "YOUNG", timedelta(0))
    assert place.tick("handbook_watch") != "nothing changed"


def test_a_source_that_takes_too_long_is_handed_to_a_whole_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LISTING_SECONDS", -1.0)
    request = one(place.tick("handbook_watch"))
    place.workspace.write("new.md", document(12))
    assert place.start(request, "handbook_job").success
    assert "new.md" in set(place.workspace.rows()["document_id"])
    assert place.tick("handbook_watch") == []  # once an hour


def test_the_first_look_at_an_empty_store_asks_for_a_whole_run(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    place = Place(tmp_path, instance)
    place.workspace.write("a.md", document(1))
    assert place.start(one(place.tick("handbook_watch")), "handbook_job").success
    assert place.instance.get_runs()[0].status == DagsterRunStatus.SUCCESS
