"""An empty inbox, once in SQLite and once in Postgres: one behaviour suite runs on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_assets.events.inbox import Inbox
from rag_assets_tests.servers import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
def inbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/inbox.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def inbox(inbox_url: str) -> Iterator[Inbox]:
    inbox = Inbox.open(inbox_url)
    yield inbox
    inbox.close()
