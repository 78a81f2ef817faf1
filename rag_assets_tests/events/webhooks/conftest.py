"""An inbox, and a receiver of it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import create_app
from rag_assets_tests.events.webhooks.corpora import ENVIRON, NARROW_VARIABLE, VARIABLE, corpus, quiet_corpus
from rag_assets_tests.events.webhooks.receivers import serving
from rag_assets_tests.events.webhooks.senders import OLD_SECRET, SECRET


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = Inbox.open(f"sqlite:///{tmp_path}/inbox.sqlite")
    yield inbox
    inbox.close()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Speaks to a receiver that many tests share: nothing they send is taken, and in the end its inbox is empty."""
    inbox = Inbox.open(f"sqlite:///{tmp_path_factory.mktemp('untouched')}/inbox.sqlite")
    app = create_app({"handbook": corpus()}, inbox, {VARIABLE: f"{SECRET} {OLD_SECRET}"})
    with serving(app) as client:
        yield client
    assert inbox.counts() == {}
    inbox.close()


@pytest.fixture
def client(inbox: Inbox) -> Iterator[httpx.Client]:
    """Speaks to a receiver of the corpora handbook, narrow (few and small requests) and quiet (none)."""
    corpora = [
        corpus(),
        corpus("narrow", max_body_bytes=1000, requests_per_minute=3, secret_variable=NARROW_VARIABLE),
        quiet_corpus(),
    ]
    app = create_app({one.name: one for one in corpora}, inbox, ENVIRON)
    with serving(app) as client:
        yield client
