"""``rag-assets inbox`` and ``rag-assets webhooks`` as people and CI meet them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets.events.inbox import Inbox
from rag_assets_tests.events.inbox.changes import change

SOURCES = [{"type": "folder", "path": "docs"}]


class Terminal:
    """``rag-assets`` with two corpora and an inbox."""

    def __init__(self, root: Path) -> None:
        self.environ = {"RAG_CORPORA": str(root), "RAG_STORE": str(root / "store"), "RAG_BY": "ada"}
        self.root = root
        for name in ("handbook", "other"):
            self.configure(name)
        self.inbox = Inbox.open(f"sqlite:///{root}/store/inbox.sqlite")

    def configure(self, name: str, **settings: Any) -> None:
        (self.root / f"{name}.yaml").write_text(yaml.safe_dump({"sources": SOURCES, **settings}))

    def run(self, *arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(app, arguments, env={**self.environ, **environ})

    def json(self, *arguments: str, code: int = 0) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.inbox.close()


def kill(terminal: Terminal, event: str) -> None:
    """A dead event with some content."""
    terminal.inbox.accept("handbook", [change("a.md", event=event, content=b"confidential")])
    terminal.inbox.dead({received.number: "poison" for received in terminal.inbox.take("handbook", "run")})


def test_events_are_listed_newest_first_with_their_states(terminal: Terminal) -> None:
    kill(terminal, "first")
    terminal.inbox.accept("other", [change("[b].md", "erase", event="second")])
    result = terminal.run("inbox", "list")
    assert result.exit_code == 0
    for text in ("first", "second", "dead", "pending", "poison", "[b].md", "erase"):
        assert text in result.stdout
    assert [entry["event"] for entry in terminal.json("inbox", "list")] == ["second", "first"]
    assert [entry["event"] for entry in terminal.json("inbox", "list", "handbook")] == ["first"]
    assert [entry["event"] for entry in terminal.json("inbox", "list", "--state", "pending")] == ["second"]
    assert len(terminal.json("inbox", "list", "--limit", "1")) == 1


def test_an_empty_inbox_says_so(terminal: Terminal) -> None:
    assert terminal.run("inbox", "list").stdout == "no events\n"
    assert terminal.json("inbox", "list", "handbook") == []


def test_an_event_is_shown_whole_but_for_its_content(terminal: Terminal) -> None:
    kill(terminal, "first")
    (entry,) = terminal.json("inbox", "show", "handbook", "first")
    assert (entry["state"], entry["reason"], entry["size"], entry["run_id"]) == ("dead", "poison", 12, "run")
    assert entry["occurred"] == "2026-05-04T12:00:00+00:00"
    result = terminal.run("inbox", "show", "handbook", "first")
    assert "poison" in result.stdout
    assert "confidential" not in result.stdout


def test_a_dead_event_is_tried_again_or_dropped(terminal: Terminal) -> None:
    kill(terminal, "first")
    assert (
        "1 changes of first are pending again" in terminal.run("inbox", "retry", "handbook", "first").stdout
    )
    assert terminal.json("inbox", "drop", "handbook", "first", "--reason", "spam") == {
        "corpus": "handbook",
        "event": "first",
        "changes": 1,
    }
    (entry,) = terminal.json("inbox", "show", "handbook", "first")
    assert (entry["state"], entry["reason"], entry["size"]) == ("dropped", "spam (ada)", None)
    again = terminal.run("inbox", "retry", "handbook", "first")
    assert again.exit_code == 1
    assert "no change of 'first' is dead" in again.stderr


def test_an_unknown_event_or_corpus_is_named(terminal: Terminal) -> None:
    for command in ("show", "retry", "drop"):
        result = terminal.run("inbox", command, "handbook", "nothing")
        assert result.exit_code == 1
        assert "'nothing'" in result.stderr
        assert terminal.run("inbox", command, "nowhere", "nothing").exit_code == 2
    assert terminal.json("inbox", "show", "handbook", "nothing", code=1) == []


def test_a_database_that_is_away_is_a_message(terminal: Terminal) -> None:
    result = terminal.run("inbox", "list", RAG_INBOX="postgresql://ada:hunter2@127.0.0.1:1/rag")
    assert result.exit_code == 1
    assert "could not open the inbox postgresql://127.0.0.1:1/rag" in result.stderr
    assert "hunter2" not in result.output


def test_the_receiver_starts_only_with_a_corpus_that_takes_events_and_its_secret(terminal: Terminal) -> None:
    result = terminal.run("webhooks")
    assert result.exit_code == 2
    assert "set events.webhooks in a corpus file" in result.stderr
    terminal.configure("handbook", events={"webhooks": {"secret_variable": "HANDBOOK_SECRET"}})
    result = terminal.run("webhooks")
    assert result.exit_code == 2
    assert "HANDBOOK_SECRET: it is not set" in result.stderr
    assert "openssl rand" in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
def test_an_address_that_is_not_to_be_had_is_a_message(host: str, terminal: Terminal) -> None:
    webhooks = {"secret_variable": "HANDBOOK_SECRET", "accept": ["bearer"]}
    terminal.configure("handbook", events={"webhooks": webhooks})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = terminal.run("webhooks", "--host", host, "--port", port, HANDBOOK_SECRET="x" * 16)
    assert result.exit_code == 2
    assert f"could not listen on {host} port {port}" in result.stderr
