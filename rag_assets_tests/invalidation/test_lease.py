"""The lease: one holder at a time, also when one is killed or falls asleep."""

from __future__ import annotations

import threading
import time

import pytest

from rag_assets.invalidation.lease import KEPT, LeaseLost, leased
from rag_assets.store.objects import ObjectStore

PATH = "corpora/handbook/invalidation/hook.lease"


@pytest.fixture
def objects(store_url: str) -> ObjectStore:
    return ObjectStore.open(store_url)


def test_one_of_many_holds_it_at_a_time(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.invalidation.lease.POLL_SECONDS", 0.001)
    inside, most, rounds = 0, 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most, rounds
        for _ in range(10):
            with leased(objects, PATH) as lease:
                assert lease is not None
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.002)
                lease.extend()
                with lock:
                    inside -= 1
                    rounds += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, rounds) == (1, 40)
    assert len(list(objects.list(PATH))) <= KEPT + 1, "old ones are cleared away"


def test_it_is_extended_while_it_is_needed(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 0.8)
    with leased(objects, PATH) as lease:
        assert lease is not None
        for _ in range(6):
            time.sleep(0.25)
            lease.extend()
        monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 0.1)
        with leased(objects, PATH) as other:
            assert other is None


def test_who_falls_asleep_loses_it_and_is_told_so(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 0.2)
    with leased(objects, PATH) as sleeper:
        assert sleeper is not None
        time.sleep(0.3)
        monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 60.0)
        with leased(objects, PATH) as other:
            assert other is not None
            with pytest.raises(LeaseLost, match="ran out"):
                sleeper.extend()
            sleeper.until = time.time() + 0.01  # a clock that was put back
            with pytest.raises(LeaseLost, match="another process took"):
                sleeper.extend()
            other.extend()
    with leased(objects, PATH) as next_one:
        assert next_one is not None, "what the sleeper wrote keeps nobody out"
