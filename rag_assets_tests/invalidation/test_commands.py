"""``rag-assets invalidation`` as people and scripts meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets_tests.invalidation.history import NAME, History
from rag_assets_tests.invalidation.receiver import Receiver, Reply
from rag_assets_tests.invalidation.suite import SECRET


class Terminal:
    """``rag-assets`` with its environment."""

    def __init__(self, root: Path, history: History, *targets: dict[str, Any]) -> None:
        folder = root / "corpora"
        folder.mkdir()
        values: dict[str, Any] = {"sources": [{"type": "folder", "path": "docs"}]}
        if targets:
            values["invalidation"] = {"targets": list(targets)}
        (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(values))
        self.environ = {"RAG_CORPORA": str(folder), "RAG_STORE": history.store, "HOOK_SECRET": SECRET}

    def run(self, *arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(app, ["invalidation", *arguments], env={**self.environ, **environ})

    def json(self, *arguments: str, code: int = 0) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def terminal(tmp_path: Path, history: History, receiver: Receiver) -> Terminal:
    """One webhook, and one publication that it was not told of."""
    history.publish({"a": 1, "b": 1})
    hook = {"name": "hook", "type": "webhook", "url": receiver.url, "secret_variable": "HOOK_SECRET"}
    return Terminal(tmp_path, history, hook)


def test_a_delivery_is_shown_and_counted(terminal: Terminal, history: History) -> None:
    (before,) = terminal.json("status", NAME)
    assert (before["state"], before["behind"], before["delivered_at"]) == ("behind", 1, None)
    assert terminal.json("deliver", NAME) == [
        {
            "target": "hook",
            "state": "delivered",
            "publication": 1,
            "pages": 1,
            "error": None,
            "next_attempt": None,
        }
    ]
    assert "hook: up to date (publication 1)" in terminal.run("deliver", NAME).stdout
    (after,) = terminal.json("status", NAME)
    assert (after["state"], after["publication"], after["head"], after["behind"]) == ("delivered", 1, 1, 0)
    shown = terminal.run("status", NAME).stdout
    assert "hook" in shown and "delivered" in shown and "1 of 1" in shown


def test_a_failure_exits_with_1_and_says_when_it_is_tried_again(
    terminal: Terminal, receiver: Receiver
) -> None:
    receiver.script = lambda number, request: Reply(503)
    result = terminal.run("deliver", NAME)
    assert result.exit_code == 1
    assert "hook: failed (publication 0; answered 503; next attempt at " in result.stdout
    assert terminal.json("deliver", NAME, code=1)[0]["state"] == "waiting"
    assert "Traceback" not in result.output


def test_what_was_given_up_is_shown_with_the_way_out(
    terminal: Terminal, receiver: Receiver, history: History
) -> None:
    assert terminal.run("deliver", NAME).exit_code == 0
    receiver.script = lambda number, request: Reply(404, body=b"no such hook")
    history.change("a")
    history.erase("b")
    assert terminal.run("deliver", NAME).exit_code == 1
    shown = terminal.run("status", NAME).stdout
    assert "given up    hook: publications 2 to 2 and erasures 1 to 1 at " in shown
    assert "answered 404: no such hook" in shown
    again = terminal.run("deliver", NAME)
    assert (again.exit_code, "up to date" in again.stdout) == (1, False)
    assert "hook: dead (publication 2; answered 404: no such hook)" in again.stdout
    assert f"rag-assets invalidation retry {NAME}" in again.stdout
    assert f"rag-assets invalidation retry {NAME}" in shown
    (found,) = terminal.json("status", NAME)
    assert found["dead"][0]["span"] == {
        "after": 1,
        "publication": 2,
        "erased_after": 0,
        "erasure": 1,
        "everything": False,
    }
    receiver.script = lambda number, request: Reply()
    assert terminal.json("retry", NAME, "--target", "hook")[0]["state"] == "delivered"
    assert terminal.json("status", NAME)[0]["dead"] == []


def test_wrong_use_exits_with_2(tmp_path: Path, terminal: Terminal, history: History) -> None:
    result = terminal.run("deliver", NAME, HOOK_SECRET="")
    assert result.exit_code == 2
    assert "HOOK_SECRET is not set" in result.stderr
    assert terminal.run("retry", NAME, "--target", "other").exit_code == 2
    (tmp_path / "plain").mkdir()
    plain = Terminal(tmp_path / "plain", history)
    for command in ("status", "deliver", "retry"):
        result = plain.run(command, NAME)
        assert result.exit_code == 2
        assert "handbook has no invalidation targets" in result.stderr
