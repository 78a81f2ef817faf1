"""Documents, events and servers that talk to the terminal of whoever looks at them: it is shown, never obeyed."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets.events.inbox import Change, Inbox
from rag_assets.invalidation.ledger import DeadLetter, Ledger, write_ledger
from rag_assets.invalidation.notice import Span
from rag_assets.invalidation.open import identity_of
from rag_assets_tests.workspace import Workspace, document

ATTACK = "\x1b[2J\x1b]8;;http://evil/\x07L\x1b]8;;\x07\x9b31m\x90\x08\x7f\u202eE\u2066\u2028[bold]x[/bold][link=http://e]y[/link]"
"""Clears the screen, links, colours, erases, turns around; and Rich's own markup, which is to stand there as it is."""
LINE = f"a{ATTACK}\r\nerror gate: passed\n"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
RICH = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[AKJ]|\r(?=\n)")
"""What Rich itself sends: colours, and for progress bars the cursor."""
NAME = "evil\x1b[31m\x07\x9b\u202e[red]name[/red].md"
"""Of a file: a name may hold all but a slash and null; and breaks of lines, below."""
HOSTILE = {
    NAME: f'---\ntitle: "{json.dumps(ATTACK)[1:-1]}"\n---\n# Head {ATTACK}\n\nPenguins {ATTACK} swim.\n\n'
    + "They eat krill. " * 100,
    "line\nerror gate: passed.md": "# Whales\n\nWhales sing.",
    f"broken\n\x1b[31m{NAME}.pdf": "%PDF-1.4 not really",
    **{f"d{number}.md": document(number, 2) for number in range(3)},
}


LINK = "link\x1b[31m\x07\x9b\u202e\nerror gate: passed"
"""Of a link that leads out of the folder, which is told in the log."""


class Terminal:
    """``rag-assets`` over one hostile corpus."""

    def __init__(self, root: Path) -> None:
        hook = {
            "name": "hook",
            "type": "webhook",
            "url": "http://127.0.0.1:9",
            "secret_variable": "HOOK_SECRET",
        }
        settings: dict[str, Any] = {
            "evaluation": {"gold": "gold.jsonl", "max_stale_share": 1},
            "parsing": {"max_quarantined_share": 1},
            "invalidation": {"targets": [hook]},
            "embedder": {"type": "static"},
        }
        self.workspace = Workspace(root, str(root / "store"), **settings)
        for name, text in HOSTILE.items():
            self.workspace.write(name, text)
        (self.workspace.documents / LINK).symlink_to(root.parent)
        gold = [
            {"id": "q[red]x[/red]", "question": f"Do penguins swim? {LINE}", "documents": [NAME]},
            {"id": "gone", "question": "Do whales sing?", "documents": [f"gone{LINE}.md"]},
        ]
        (self.workspace.path.parent / "gold.jsonl").write_text(
            "".join(f"{json.dumps(one)}\n" for one in gold)
        )
        inbox = f"sqlite:///{root}/inbox.sqlite"
        with_zone = datetime.now(UTC)
        opened = Inbox.open(inbox)
        opened.accept("handbook", [Change("e1", LINE, "updated", with_zone, f"sender {LINE}")])
        (received,) = opened.take("handbook", "run")
        opened.dead({received.number: f"because {LINE}"})
        opened.close()
        corpus = self.workspace.corpus
        assert corpus.invalidation is not None
        ledger = Ledger(
            "hook", identity_of(corpus.invalidation.targets[0]), with_zone.isoformat(), error=LINE
        )
        letter = DeadLetter(Span(0, 1, 0, 0, everything=True), f"answered {LINE}", with_zone.isoformat())
        write_ledger(self.workspace.objects, "handbook", replace(ledger, dead=(letter,)))
        self.environ = {
            "RAG_CORPORA": str(self.workspace.path.parent),
            "RAG_STORE": self.workspace.store,
            "RAG_INBOX": inbox,
            "HOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
        }

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=self.environ)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Two publications; the second one was rolled back for a hostile reason."""
    found = Terminal(tmp_path_factory.mktemp("escapes"))
    first = found.run("run", "handbook")
    assert first.exit_code == 0, first.output
    found.workspace.write("d1.md", document(9, 2))
    for command in (
        ("run", "handbook", "--reason", LINE),
        ("rollback", "handbook", "--to", "1", "--reason", LINE),
    ):
        result = found.run(*command)
        check(result)
        assert result.exit_code == 0, result.output
    return found


def check(result: Result) -> None:
    for text in (result.stdout, result.stderr):
        found = OBEYED.search(text)
        assert found is None, text[max(0, found.start() - 100) : found.end() + 100]
        assert "\nerror gate: passed" not in text
    assert "Traceback" not in result.output


COMMANDS = {
    "run": ("run", "handbook"),
    "plan": ("plan", "handbook"),
    "status": ("status", "handbook"),
    "history": ("history", "handbook"),
    "evaluate": ("evaluate", "handbook"),
    "check": ("check",),
    "verify": ("verify", "handbook"),
    "gold check": ("gold", "check", "handbook"),
    "gold propose": ("gold", "propose", "handbook"),
    "inbox list": ("inbox", "list"),
    "inbox show": ("inbox", "show", "handbook", "e1"),
    "inbox drop": ("inbox", "drop", "handbook", LINE.replace("\0", "")),
    "invalidation status": ("invalidation", "status", "handbook"),
    "invalidation deliver": ("invalidation", "deliver", "handbook"),
    "unknown corpus": ("status", LINE),
    "where": ("query", "handbook", "penguins", "--where", f"title = '{ATTACK}' x"),
    "option": ("query", "handbook", "penguins", "--mode", ATTACK),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_lets_documents_and_events_speak_to_the_terminal(terminal: Terminal, name: str) -> None:
    check(terminal.run(*COMMANDS[name]))


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_a_passage_is_shown_with_all_that_stands_in_it(terminal: Terminal, mode: str) -> None:
    result = terminal.run("query", "handbook", "Penguins swim", "--mode", mode)
    check(result)
    for shown in (
        r"\x1b[2J\x1b]8;;http://evil/",
        r"\x9b31m",
        r"\u202eE\u2066",
        "[bold]x[/bold]",
        "[link=http://e]",
    ):
        assert shown in result.stdout.replace("\n", ""), shown
    assert r"evil\x1b[31m" in result.stdout


JSON = [
    name
    for name in COMMANDS
    if name not in ("unknown corpus", "where", "option", "inbox drop", "gold propose")
]


@pytest.mark.parametrize("name", [*JSON, "query"])
def test_json_is_exact_and_speaks_to_no_terminal(terminal: Terminal, name: str) -> None:
    command = COMMANDS.get(name, ("query", "handbook", "Penguins swim"))
    result = terminal.run(*command, "--json")
    assert OBEYED.search(result.stdout) is None
    value = json.loads(result.stdout)
    if name == "query":
        (hit,) = [hit for hit in value if hit["document_id"] == NAME][:1]
        assert ATTACK.replace("\u2028", "") in hit["text"].replace("\u2028", "").replace("\n", "")
    if name == "inbox show":
        assert value[0]["document"] == LINE


def test_a_terminal_is_sent_nothing_but_colours(terminal: Terminal) -> None:
    for command in (COMMANDS["inbox list"], ("query", "handbook", "Penguins swim")):
        sent = RICH.sub("", through_a_terminal(terminal, command))
        found = OBEYED.search(sent.replace("\r\n", "\n"))
        assert found is None, sent[max(0, found.start() - 100) : found.end() + 100]


def test_the_log_speaks_to_no_terminal(terminal: Terminal) -> None:
    sent = RICH.sub("", through_a_terminal(terminal, ("plan", "handbook", "--json"))).replace("\r\n", "\n")
    assert r"links in" in sent and r"link\x1b[31m\x07" in sent, sent
    found = OBEYED.search(sent)
    assert found is None, sent[max(0, found.start() - 100) : found.end() + 100]
    assert "\nerror gate: passed" not in sent


def test_a_stream_of_another_encoding_ends_no_command(terminal: Terminal) -> None:
    for arguments in (("query", "handbook", "Penguins swim"), ("status", "handbook", "--json")):
        command = [sys.executable, "-c", "from rag_assets.cli import main; main()", *arguments]
        environ = {**os.environ, **terminal.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, capture_output=True, env=environ, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
        assert OBEYED.search(done.stdout.decode("ascii")) is None
        if "--json" in arguments:
            json.loads(done.stdout)


def through_a_terminal(terminal: Terminal, arguments: tuple[str, ...]) -> str:
    """What a command writes when standard output is a terminal."""
    main, side = pty.openpty()
    command = [sys.executable, "-c", "from rag_assets.cli import main; main()", *arguments]
    environ = {**os.environ, **terminal.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdout=side, stderr=side, stdin=side, env=environ) as process:
        os.close(side)
        sent, deadline = b"", time.monotonic() + 120
        while time.monotonic() < deadline:
            if select.select([main], [], [], 1)[0]:
                try:
                    block = os.read(main, 65_536)
                except OSError:  # the other side is closed
                    break
                sent += block
            elif process.poll() is not None:
                break
        process.wait(30)
    os.close(main)
    return sent.decode()
