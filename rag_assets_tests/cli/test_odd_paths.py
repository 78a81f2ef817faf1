"""Paths that people name and that cannot be written or read: a message that names them, and no trace."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets_tests.cli.test_odd_bytes import COMMANDS
from rag_assets_tests.workspace import Workspace, document

QUESTION = json.dumps({"question": "Who?", "documents": ["d0.md"], "tags": ["t"]})
PATHS = [
    (path, name)
    for path, command in COMMANDS.items()
    for name, hint in get_type_hints(inspect.unwrap(command.callback)).items()
    if hint in (Path, Path | None)
]
ODD = [
    "afile",
    "afile/x",
    "afile/x/y",
    "folder",
    "loop",
    "loop/x",
    "/proc/nothing/x",
    "n" * 300,
    "n/" * 3000 + "x",
    "~nouser/x",
    "",
]


class Line:
    """``rag-assets`` over a corpus that was run once."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root, str(root / "store"), evaluation={"gold": "gold.jsonl"})
        self.folder = self.workspace.path.parent
        (self.folder / "gold.jsonl").write_text(f"{QUESTION}\n")
        (root / "questions.csv").write_text("question,documents\nWhat?,d0.md\n")
        for number in range(3):
            self.workspace.write(f"d{number}.md", document(number, 2))
        self.workspace.run()
        self.environ = {"RAG_CORPORA": str(self.folder), "RAG_STORE": self.workspace.store}

    def run(self, *arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(app, arguments, env={**self.environ, **environ})


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return Line(tmp_path_factory.mktemp("paths"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a command runs: with a file, a folder and a link to itself."""
    (tmp_path / "afile").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "questions.csv").write_text("question,documents\nWhat?,d0.md\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(result: Result) -> None:
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 1, 2)
    assert result.exit_code == 0 or result.stderr.strip()


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:20])
@pytest.mark.parametrize(
    ("path", "name"), PATHS, ids=lambda value: "-".join(value) if isinstance(value, tuple) else value
)
def test_no_command_ends_in_a_trace_over_a_path(
    line: Line, here: Path, path: tuple[str, ...], name: str, odd: str
) -> None:
    given = {
        "corpus": "handbook",
        "format": "csv",
        "source": "questions.csv",
        "into": str(here / "into"),
        name: odd,
    }
    words = [*path]
    for parameter in COMMANDS[path].params:
        if parameter.name == name or parameter.required:
            option = parameter.opts[:1] if parameter.param_type_name == "option" else []
            words += [*option, given[parameter.name]]
    result = line.run(*words)
    check(result)
    if odd.startswith("afile/") and name != "source":
        assert result.exit_code == 2
        assert str(here / odd) in result.stderr
        assert "cannot be written" in result.stderr


def test_a_gold_set_that_cannot_be_written_is_named_by_propose(
    line: Line, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_OVERRIDE__HANDBOOK__EVALUATION__GOLD", str(here / "afile" / "x"))
    result = line.run("gold", "propose", "handbook")
    check(result)
    assert result.exit_code == 2 and f"{here}/afile/x cannot be written" in result.stderr


@pytest.mark.parametrize("odd", ODD[:-1], ids=lambda odd: odd[:20])
@pytest.mark.parametrize("variable", ["RAG_STORE", "RAG_CORPORA", "RAG_INBOX"])
def test_no_command_ends_in_a_trace_over_a_path_of_the_environment(
    line: Line, here: Path, variable: str, odd: str
) -> None:
    value = f"sqlite:///{odd}" if variable == "RAG_INBOX" else odd
    command = ("inbox", "list") if variable == "RAG_INBOX" else ("status", "handbook")
    check(line.run(*command, **{variable: value}))
