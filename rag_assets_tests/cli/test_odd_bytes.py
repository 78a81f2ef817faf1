"""Bytes that are no UTF-8, on the command line and in the environment: Python makes lone surrogates of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import rollback
from rag_assets.settings import Settings
from rag_assets_tests.workspace import Workspace, document

ODD = "o\udcffdd"
SHOWN = "o\ufffddd"


class Line:
    """``rag-assets`` over a corpus that was published twice."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = Workspace(root, str(root / "store"), evaluation={"gold": "gold.jsonl"})
        folder = self.workspace.path.parent
        gold = {"question": "What is in it?", "documents": ["d0.md"]}
        (folder / "gold.jsonl").write_text(f"{json.dumps(gold)}\n")
        (root / "questions.csv").write_text("question,documents\nWho?,d0.md\n")
        for number in range(2):
            self.workspace.write(f"d{number}.md", document(number, 2))
            self.workspace.run()
        self.environ = {"RAG_CORPORA": str(folder), "RAG_STORE": self.workspace.store}

    def run(self, *arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(app, arguments, env={**self.environ, **environ})


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return Line(tmp_path_factory.mktemp("odd"))


def test_a_reason_and_a_name_of_odd_bytes_leave_records_that_can_be_read(line: Line) -> None:
    line.workspace.write("d2.md", document(2, 2))
    for command in (("run", "handbook"), ("rollback", "handbook", "--to", "1")):
        result = line.run(*command, "--reason", ODD, RAG_BY=ODD)
        assert result.exit_code == 0, result.output
        entry = json.loads(line.run("history", "handbook", "--json").stdout)[-1]
        assert (entry["reason"], entry["by"]) == (SHOWN, SHOWN)
        assert line.run("status", "handbook").exit_code == 0


def test_a_publication_is_on_record_whoever_claims_it(line: Line) -> None:
    log = PublicationLog(line.workspace.objects, "handbook")
    head = log.head()
    assert head is not None
    to = next(one.number for one in log.retained() if one.version != head.version)
    rollback(line.workspace.objects, "handbook", to, reason=ODD, by=ODD)
    written = log.head()
    assert written is not None
    assert (written.number, written.reason, written.by) == (head.number + 1, SHOWN, SHOWN)


def test_who_publishes_can_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_BY", ODD)
    assert Settings().by == SHOWN


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands with their names."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(get_command(app)))
TEXTS = [
    (path, parameter.name)
    for path, command in COMMANDS.items()
    for parameter in command.params
    if parameter.name != "help" and not getattr(parameter, "is_flag", False)
]
GIVEN = {"corpus": "handbook", "event": "e1", "text": "What?", "format": "csv"}


def arguments(line: Line, path: tuple[str, ...], odd: str) -> list[str]:
    """A command with what it needs, and odd bytes for one of its parameters."""
    into = str(line.root / "gold" / "into.jsonl")
    given = {**GIVEN, "source": str(line.root / "questions.csv"), "into": into, odd: ODD}
    words = [*path]
    for parameter in COMMANDS[path].params:
        if parameter.name == odd or parameter.required:
            option = parameter.opts[:1] if parameter.param_type_name == "option" else []
            words += [*option, given[parameter.name]]
    return words


@pytest.mark.parametrize(
    ("path", "odd"), TEXTS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else value
)
def test_no_command_ends_in_a_trace_over_odd_bytes(
    line: Line, path: tuple[str, ...], odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some of the texts are names of files to write
    result = line.run(*arguments(line, path, odd))
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 1, 2)
    assert result.exit_code == 0 or result.stderr.strip()
    assert "\udcff" not in result.output
