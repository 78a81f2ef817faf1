"""Fixtures of the invalidation tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import wait_none

from rag_assets_tests.invalidation.history import History
from rag_assets_tests.invalidation.receiver import Receiver
from rag_assets_tests.servers import ValkeyServer


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the tries of one delivery; what a server asks for is kept."""
    monkeypatch.setattr("rag_assets.invalidation.telling.PAUSES", wait_none())


@pytest.fixture
def history(tmp_path: Path) -> History:
    """No publication yet."""
    return History(tmp_path / "store")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes everything until it is told otherwise."""
    with Receiver().running() as server:
        yield server


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    """A Redis server without data."""
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url
