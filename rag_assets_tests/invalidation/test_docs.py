"""The examples of docs/invalidation.md do what the page says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from rag_assets.invalidation.deliver import deliver
from rag_assets_tests.invalidation.history import History, corpus_of
from rag_assets_tests.invalidation.receiver import Receiver
from rag_assets_tests.invalidation.suite import SECRET
from rag_assets_tests.invalidation.teller import Teller
from rag_assets_tests.workspace import Workspace

PAGE = Path(__file__).resolve().parents[2] / "docs" / "invalidation.md"


def example(words: str) -> dict[str, Any]:
    """The names that the Python example with these words defines."""
    (code,) = [
        code for code in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S) if words in code
    ]
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_the_service_answers_from_its_cache_until_a_document_changes(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("guide.md", "# Guide\n\nA rollback undoes a publish.\n")
    workspace.run()
    monkeypatch.setenv("RAG_STORE", workspace.store)
    monkeypatch.setenv("CACHE_URL", redis_url)
    workspace.configure(
        invalidation={"targets": [{"name": "answers", "type": "redis", "url_variable": "CACHE_URL"}]}
    )
    assert deliver(workspace.objects, workspace.corpus, os.environ)[0].state == "delivered"
    names = example("def answer(")
    found = names["answer"]("what does a rollback do?")
    assert b"A rollback undoes a publish." in found
    assert names["cache"].get("what does a rollback do?") == found
    workspace.write("guide.md", "# Guide\n\nA rollback makes an earlier publication what readers see.\n")
    workspace.run()
    assert deliver(workspace.objects, workspace.corpus, os.environ)[0].state == "delivered"
    assert names["cache"].get("what does a rollback do?") is None
    names["index"].refresh()
    assert b"earlier publication" in names["answer"]("what does a rollback do?")


def test_a_receiver_verifies_and_forgets(
    history: History, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_SECRET", SECRET)
    receive = example("def receive(")["receive"]
    target = {"name": "a", "type": "webhook", "url": receiver.url, "secret_variable": "ASSISTANT_SECRET"}
    kept = {"a": {"q1"}, "b": {"q2"}}
    history.publish({"a": 1, "b": 1})
    deliver(history.objects, corpus_of(target))
    history.change("a")
    deliver(history.objects, corpus_of(target))
    everything, change = receiver.requests
    receive(change.body, dict(change.headers), kept)
    assert kept == {"b": {"q2"}}
    receive(everything.body, dict(everything.headers), kept)
    assert kept == {}


def test_keys_and_own_targets_are_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert example("versioned_key")["key"] == "p12:how do I roll back?"
    assert example("surrogate_key")["tags"] == ["doc-a%20b.md", "doc-c.md", "corpus-handbook"]
    target = example("class SearchCache")["SearchCache"]({"shards": 3})
    (notice,) = Teller("redis://127.0.0.1").pages(1, 2, {"a": "changed", "b": "added"})
    target.send(notice)
    assert capsys.readouterr().out == "forget handbook a\n"
