"""The receiver under faults: what was answered with 202 is kept, and what is not kept is never answered so."""

from __future__ import annotations

import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import app, body, create_app
from rag_assets_tests.events.webhooks.corpora import ENVIRON, SOURCES, VARIABLE, corpus
from rag_assets_tests.events.webhooks.receivers import receiver, serving
from rag_assets_tests.events.webhooks.senders import bearer, event, standard
from rag_assets_tests.servers import PostgresServer

HOOK = "/hooks/handbook"


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A folder with the corpus file of a handbook that takes events."""
    folder = tmp_path / "corpora"
    folder.mkdir()
    hook = {"secret_variable": VARIABLE, "accept": ["standard", "bearer"]}
    settings = {"sources": SOURCES, "events": {"webhooks": hook}}
    (folder / "handbook.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(params=["sqlite", "postgres"])
def inbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/inbox.sqlite"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def kept(inbox_url: str) -> Iterator[Inbox]:
    """The inbox that the receiver writes to, seen from outside."""
    inbox = Inbox.open(inbox_url)
    yield inbox
    inbox.close()


def stalled(client: httpx.Client, sent: bytes, size: int) -> socket.socket:
    """A connection that has sent the first bytes of a body, and says that there are more."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in bearer().items())
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30)
    head = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {size}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def test_a_receiver_that_is_killed_after_its_answer_has_kept_the_event(
    corpora: Path, inbox_url: str, kept: Inbox
) -> None:
    content = event(data={"document": "cms/imprint.md", "content": "# Imprint"})
    with receiver(corpora, inbox_url, ENVIRON) as (process, client):
        for number in range(3):
            assert (
                client.post(HOOK, content=content, headers=standard(content, id=f"e{number}")).status_code
                == 202
            )
        process.kill()
        process.wait()
    assert [entry.event for entry in kept.list("handbook")] == ["e2", "e1", "e0"]
    # The sender did not hear of it and sends again, to the next process.
    with receiver(corpora, inbox_url, ENVIRON) as (_, client):
        reply = client.post(HOOK, content=content, headers=standard(content, id="e2"))
        assert reply.json()["state"] == "duplicate"


def test_a_receiver_that_is_told_to_stop_answers_first(corpora: Path, inbox_url: str, kept: Inbox) -> None:
    content = event()
    with receiver(corpora, inbox_url, ENVIRON) as (process, client):
        with stalled(client, content[:10], len(content)) as connection:
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(content[10:])
            assert b" 202 " in connection.recv(4096)
        assert process.wait(30) in (0, -signal.SIGTERM)
    assert kept.pending("handbook").count == 1


def test_while_postgres_is_away_senders_are_told_to_come_back_and_nothing_is_lost(
    postgres: PostgresServer,
) -> None:
    inbox = Inbox.open(postgres.new_database())
    with serving(create_app({"handbook": corpus()}, inbox, ENVIRON)) as client:
        assert client.post(HOOK, content=event(), headers=bearer(id="before")).status_code == 202
        postgres.kill()
        try:
            reply = client.post(HOOK, content=event(), headers=bearer(id="meanwhile"))
            assert (reply.status_code, reply.json()["reason"]) == (503, "inbox-unavailable")
            assert int(reply.headers["retry-after"]) >= 1
            assert "postgres" not in reply.text
            assert client.get("/ready").status_code == 503
            assert client.get("/health").status_code == 200
            assert "rag_assets_inbox_up 0.0" in client.get("/metrics").text
        finally:
            postgres.start()
        assert client.get("/ready").status_code == 200
        assert (
            client.post(HOOK, content=event(), headers=bearer(id="meanwhile")).json()["state"] == "accepted"
        )
        assert "rag_assets_inbox_up 1.0" in client.get("/metrics").text
    assert {entry.event for entry in inbox.list("handbook")} == {"before", "meanwhile"}
    inbox.close()


def test_a_database_that_does_not_answer_holds_up_nobody_for_long(
    tmp_path: Path, inbox: Inbox, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "INBOX_SECONDS", 0.5)
    other = sqlite3.connect(tmp_path / "inbox.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    headers = bearer()
    content = event()
    reply = client.post(HOOK, content=content, headers=headers)
    assert (reply.status_code, reply.json()["reason"]) == (503, "inbox-unavailable")
    assert "send it again" in reply.json()["detail"]
    other.close()
    # The thread may have written it after all.
    assert client.post(HOOK, content=content, headers=headers).status_code == 202
    assert inbox.pending("handbook").count == 1


def test_a_body_that_does_not_come_is_not_waited_for(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "SECONDS", 0.5)
    with stalled(client, b"{", 100) as connection:
        reply = b"".join(iter(lambda: connection.recv(4096), b""))  # until it is closed
    assert b" 408 " in reply
    assert b'"reason":"too-slow"' in reply


def test_bodies_in_memory_are_bounded_together(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    content = event()
    monkeypatch.setattr(body, "MOST_BYTES_AT_ONCE", 2 * len(content))
    deadline = time.monotonic() + 60
    refused = None
    while refused is None:
        assert time.monotonic() < deadline
        with stalled(client, content + b" " * (len(content) // 2), 2 * len(content)):
            time.sleep(0.3)  # until it is read; on a busy machine that may take another round
            reply = client.post(HOOK, content=content, headers=bearer())
            refused = reply if reply.status_code == 503 else None
    assert refused.json()["reason"] == "busy"
    assert refused.headers["retry-after"] == "1"
    while client.post(HOOK, content=content, headers=bearer()).status_code != 202:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_many_senders_at_once_lose_nothing(client: httpx.Client, inbox: Inbox) -> None:
    answers: list[int] = []

    def send(sender: int) -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as own:
            for number in range(10):
                content = event(data={"document": f"{sender}.md"})
                headers = standard(content, id=f"{sender}.{number}")
                answers.append(own.post(HOOK, content=content, headers=headers).status_code)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [202] * 80
    assert len(inbox.list("handbook", limit=1000)) == 80
