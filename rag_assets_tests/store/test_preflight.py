"""The preflight lets good stores pass and refuses one that ignores conditional puts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rag_assets.errors import UnsafeStore
from rag_assets.store import preflight
from rag_assets.store.objects import ObjectStore
from rag_assets.store.preflight import MARKER, check_store


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_passed", set())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Paths that were created, as a measure of the check having run."""
    paths: list[str] = []
    create = ObjectStore.create

    def counting(self: ObjectStore, path: str, data: bytes) -> bool:
        paths.append(path)
        return create(self, path, data)

    monkeypatch.setattr(ObjectStore, "create", counting)
    yield paths


def test_a_good_store_passes_and_is_left_clean(store_url: str) -> None:
    objects = ObjectStore.open(store_url)
    check_store(objects)
    assert {info.path for info in objects.list("")} <= {MARKER}


def test_a_store_is_checked_once_per_process(store_url: str, counted: list[str]) -> None:
    objects = ObjectStore.open(store_url)
    check_store(objects)
    assert counted
    counted.clear()
    check_store(objects)
    assert not counted


def test_a_marker_spares_the_next_process_the_check_for_a_day(
    s3_store_url: str, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = ObjectStore.open(s3_store_url)
    check_store(objects)
    counted.clear()
    preflight._passed.clear()
    check_store(objects)
    assert not counted
    preflight._passed.clear()
    monkeypatch.setattr(preflight, "MARKER_SECONDS", 0)
    check_store(objects)
    assert counted


@pytest.mark.parametrize("marker", ["copied", "[]", "{", '{"place": 1, "passed_at": "x"}', '"x"', "null"])
def test_a_marker_from_elsewhere_counts_for_nothing(
    s3_store_url: str, counted: list[str], marker: str
) -> None:
    objects = ObjectStore.open(s3_store_url)
    check_store(objects)
    counted.clear()
    preflight._passed.clear()
    if marker == "copied":
        found = json.loads(objects.get(MARKER))
        marker = json.dumps({**found, "place": found["place"] + "0"})
    objects.put(MARKER, marker.encode())
    check_store(objects)
    assert counted


def test_a_server_that_ignores_conditional_puts_is_refused_with_what_would_be_lost(
    rclone_store_url: str,
) -> None:
    objects = ObjectStore.open(rclone_store_url)
    assert objects.create("claim", b"mine")
    assert objects.create("claim", b"yours"), "the control no longer ignores conditional puts"
    objects.delete(["claim"])

    with pytest.raises(UnsafeStore) as caught:
        check_store(objects)

    message = str(caught.value)
    assert rclone_store_url in message
    assert "to create one object twice" in message
    assert "the second was accepted, the first content was replaced" in message
    assert "published rows disappear" in message
    assert "SeaweedFS" in message
    assert not caught.value.retryable
    assert [*objects.list("")] == []
    with pytest.raises(UnsafeStore):
        check_store(objects)


def test_a_server_whose_condition_loses_races_is_refused(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: look, then write. Right in sequence, wrong under concurrency."""

    def look_then_write(self: ObjectStore, path: str, data: bytes) -> bool:
        if self.find(path) is not None:
            return False
        import time

        time.sleep(0.05)
        self.put(path, data)
        return True

    monkeypatch.setattr(ObjectStore, "create", look_then_write)
    with pytest.raises(UnsafeStore, match="threads at once"):
        check_store(ObjectStore.open(store_url))


def test_a_server_that_serves_stale_reads_is_refused(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault: a cache in front of the store answers with what it saw first."""
    seen: dict[str, bytes | None] = {}
    find = ObjectStore.find

    def cached(self: ObjectStore, path: str) -> bytes | None:
        if path == MARKER:
            return None
        return seen.setdefault(path, find(self, path))

    monkeypatch.setattr(ObjectStore, "find", cached)
    with pytest.raises(UnsafeStore, match="read an object just written"):
        check_store(ObjectStore.open(store_url))
