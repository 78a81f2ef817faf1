"""Caches are told by the run that publishes, and by the sensor of what no run has told them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import redis

from rag_assets import AnswerCache
from rag_assets.events.inbox import Change, Inbox
from rag_assets.index.table import open_table
from rag_assets.invalidation.ledger import FIRST_PAUSE
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.publication.publish import rollback
from rag_assets_tests.orchestration.daemon import Daemon
from rag_assets_tests.servers import ValkeyServer
from rag_assets_tests.workspace import Workspace, document

TARGET = {"name": "answers", "type": "redis", "url_variable": "RAG_CACHE_URL"}


class Place:
    """A corpus whose answers a service caches."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, url: str, **settings: Any) -> None:
        self.workspace = Workspace(
            root,
            str(root / "store"),
            name=f"cached{root.name[-1]}",
            invalidation={"targets": [TARGET]},
            gate={"max_removed_share": 1},
            **settings,
        )
        self.name = self.workspace.name
        self.cache = AnswerCache(url, self.name)
        self.daemon = Daemon(instance, self.workspace.corpus, self.workspace.store)

    def start(self, job: str, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
        return self.daemon.start(f"{self.name}_{job}", request)

    def tick(self) -> list[dg.RunRequest] | str:
        return self.daemon.tick(f"{self.name}_publications")

    def answer(self, key: str, *documents: str) -> None:
        head = self.workspace.pipeline()[0].log.head()
        assert head is not None
        assert self.cache.put(key, key.encode(), documents, head.number)

    def kept(self, *keys: str) -> list[str]:
        return [key for key in keys if self.cache.get(key) is not None]


def delivered(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "delivered"]
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def place(
    tmp_path: Path, instance: dg.DagsterInstance, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setenv("RAG_CACHE_URL", valkey.url)
    found = Place(tmp_path, instance, valkey.url)
    found.workspace.write("a.md", document(1))
    found.workspace.write("b.md", document(2))
    assert found.start("job").success
    return found


def test_the_run_that_publishes_makes_caches_forget_what_changed_and_nothing_else(place: Place) -> None:
    place.answer("from a", "a.md")
    place.answer("from b", "b.md")
    place.answer("from both", "a.md", "b.md")
    place.workspace.write("a.md", document(11))
    result = place.start("job")
    assert result.success and delivered(result).passed
    assert place.kept("from a", "from b", "from both") == ["from b"]
    assert "every target knows" in str(place.tick())


def test_a_rollback_without_dagster_is_noticed_and_told(place: Place) -> None:
    place.workspace.write("a.md", document(11))
    assert place.start("job").success
    place.answer("from a", "a.md")
    place.answer("from b", "b.md")
    rollback(place.workspace.objects, place.name, None, reason="test", by="test")
    (request,) = place.tick()
    assert isinstance(request, dg.RunRequest)
    (again,) = place.tick()
    assert isinstance(again, dg.RunRequest) and again.run_key == request.run_key
    assert delivered(place.start("invalidation", request)).passed
    assert place.kept("from a", "from b") == ["from b"]
    assert "every target knows" in str(place.tick())


def test_a_target_that_is_down_shows_in_a_check_and_is_told_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer
) -> None:
    place.answer("from a", "a.md")
    place.workspace.write("a.md", document(11))
    monkeypatch.setattr("rag_assets.invalidation.telling.TRIES", 1)
    monkeypatch.setattr("rag_assets.orchestration.invalidation.REST_SECONDS", 0)
    monkeypatch.setattr("rag_assets.invalidation.ledger.FIRST_PAUSE", FIRST_PAUSE * 0)
    valkey.kill()
    try:
        result = place.start("job")
        assert result.success, "what readers see is published all the same"
        check = delivered(result)
        assert not check.passed
        assert "1 publications" in str(check.description)
        assert valkey.url not in str(check.description)
        (request,) = place.tick()
        assert isinstance(request, dg.RunRequest)
        assert not delivered(place.start("invalidation", request)).passed
        (second,) = place.tick()
        assert isinstance(second, dg.RunRequest) and second.run_key != request.run_key
    finally:
        valkey.start()
    assert delivered(place.start("invalidation", second)).passed
    assert place.kept("from a") == []


def test_a_cache_that_lost_its_data_is_used_again_within_minutes(
    place: Place, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.orchestration.invalidation.LOOK_AGAIN", timedelta(0))
    with closing(redis.Redis.from_url(valkey.url)) as client:
        client.flushall()
    assert not place.cache.put("early", b"x", ["a.md"], 1), "it does not know what has changed"
    assert "every target knows" in str(place.tick())
    place.answer("late", "a.md")
    assert place.kept("late") == ["late"]


def test_an_erasure_is_told_before_the_publication_that_contains_it(
    tmp_path: Path, instance: dg.DagsterInstance, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_CACHE_URL", valkey.url)
    place = Place(tmp_path, instance, valkey.url, events={"watch": {}})
    place.workspace.write("a.md", document(1))
    place.workspace.write("b.md", document(2))
    assert place.start("job").success
    place.answer("from a", "a.md")
    inbox = Inbox.open(f"sqlite:///{tmp_path}/store/inbox.sqlite")
    inbox.accept(place.name, [Change("e1", "a.md", "erase", datetime.now(UTC), "test")])
    pipeline = Pipeline(place.workspace.objects, place.workspace.corpus, run_id="run", inbox=inbox)
    pipeline.documents(only_events=True)
    inbox.close()
    head = place.workspace.pipeline()[0].log.head()
    assert head is not None and head.number == 1, "nothing new is published yet"
    assert place.kept("from a") == []
    assert not place.cache.put("late", b"late", ["a.md"], 1)


def test_a_tag_that_a_killed_publisher_left_behind_is_reported_and_moved(place: Place) -> None:
    place.workspace.write("a.md", document(11))
    result = place.start("job")
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "published_tag"]
    assert check.passed
    log = place.workspace.pipeline()[0].log
    table = open_table(place.workspace.objects, place.name)
    assert table is not None
    table.tags.update("published", log.find(1).version)
    found = place.tick()
    assert f"is at version {log.find(1).version}, but publication 2 is version {log.find(2).version}" in str(
        found
    )
    assert table.tags.get_version("published") == log.find(2).version
    assert "the tag" not in str(place.tick())
