"""The command line: exit codes, JSON and messages, as CI and people meet them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets.pipeline import readiness
from rag_assets_tests.workspace import Workspace, document

SETTINGS: dict[str, Any] = {
    "evaluation": {"gold": "gold.jsonl"},
    "gate": {"rules": [{"metric": "recall@5", "min": 1.0}]},
}
QUESTION = '{"question": "Which birds swim in cold water?", "documents": ["a.md"]}\n'


class Terminal:
    """``rag-assets`` with its environment."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.environ = {"RAG_CORPORA": str(workspace.path.parent), "RAG_STORE": workspace.store}

    def run(self, *arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(app, arguments, env={**self.environ, **environ})

    def json(self, *arguments: str, code: int = 0) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            "from rag_assets.cli import main; main()",
            *arguments,
        ]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **self.environ}, check=False
        )


def fresh(root: Path, **settings: Any) -> Terminal:
    workspace = Workspace(root, str(root / "store"), **{**SETTINGS, **settings})
    (root / "corpora" / "gold.jsonl").write_text(QUESTION)
    workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water.")
    for number in range(3):
        workspace.write(f"d{number}.md", document(number, 2))
    return Terminal(workspace)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A corpus that never ran."""
    return fresh(tmp_path)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A corpus with two publications; do not change it."""
    found = fresh(tmp_path_factory.mktemp("cli"))
    assert found.run("run", "handbook", "--reason", "first").exit_code == 0
    found.workspace.write("d1.md", document(9, 2))
    assert found.run("run", "handbook").exit_code == 0
    return found


def test_a_run_publishes_and_a_second_one_finds_nothing_to_do(terminal: Terminal) -> None:
    found = terminal.json("run", "handbook")
    assert {"documents_changed", "embedded_texts", "reused_texts", "seconds"} <= found.keys()
    assert (found["documents_changed"], found["embedded_texts"]) == (4, 7)
    assert (found["published"], found["publication"], found["gate"]) == (True, 1, "passed")
    again = terminal.json("run", "handbook")
    assert (again["documents_changed"], again["embedded_texts"]) == (0, 0)
    assert (again["published"], again["publication"], again["gate"]) == (False, 1, "passed")


def test_a_run_shows_what_it_did_and_how_to_go_on(published: Terminal) -> None:
    result = published.run("run", "handbook")
    assert result.exit_code == 0
    for text in (
        "0 documents changed",
        "nothing new to publish",
        "recall@5",
        "report.html",
        "rag-assets query",
    ):
        assert text in result.stdout
    assert "Traceback" not in result.output


def test_a_refused_run_exits_with_3_and_says_why(tmp_path: Path) -> None:
    terminal = fresh(tmp_path)
    (tmp_path / "corpora" / "gold.jsonl").write_text(
        QUESTION.replace("{", '{"id": "q1", ', 1).replace("a.md", "d1.md")
    )
    terminal.workspace.configure(**{**SETTINGS, "gate": {"rules": [{"metric": "recall@1", "min": 1.0}]}})
    result = terminal.run("run", "handbook", "--json")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert (found["published"], found["publication"], found["gate"]) == (False, None, "refused")
    assert {"documents_changed", "embedded_texts", "reused_texts", "seconds"} <= found.keys()
    assert "ecall@1 of hybrid search is 0.000, 1.000 below the required 1.000" in result.stderr
    assert "q1" in result.stderr
    assert terminal.run("status", "handbook").exit_code == 0
    query = terminal.run("query", "handbook", "penguins")
    assert query.exit_code == 1
    assert "nothing is published" in query.stderr


def test_a_failed_run_exits_with_1_and_says_why(tmp_path: Path) -> None:
    terminal = fresh(tmp_path)
    for number in range(3):
        terminal.workspace.write(f"broken{number}.pdf", "%PDF-1.4 not really")
    result = terminal.run("run", "handbook", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["published"], found["publication"], found["gate"]) == (False, None, None)
    assert {"documents_changed", "embedded_texts", "reused_texts", "seconds"} <= found.keys()
    assert "quarantined" in result.stderr
    assert "Traceback" not in result.output


def test_a_missing_model_exits_with_2_before_and_during_a_run(tmp_path: Path) -> None:
    terminal = fresh(tmp_path, embedder={"model": "./nowhere"})
    for command in ("plan", "run"):
        result = terminal.run(command, "handbook", "--json")
        assert "embedder.model: found './nowhere'; no such folder" in result.stderr
        assert result.exit_code == 2, command


def test_a_run_that_fails_at_once_still_has_every_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.orchestration.declare.RETRY", None)
    terminal = fresh(tmp_path)
    for path in terminal.workspace.documents.iterdir():
        path.unlink()
    terminal.workspace.documents.rmdir()
    result = terminal.run("run", "handbook", "--json")
    assert result.exit_code == 1
    assert "handbook-documents" in result.stderr
    found = json.loads(result.stdout)
    fields = {
        "documents_changed",
        "embedded_texts",
        "reused_texts",
        "seconds",
        "published",
        "publication",
        "gate",
    }
    assert fields <= found.keys()


def test_status_has_the_fields_that_ci_reads(published: Terminal) -> None:
    found = published.json("status", "handbook")
    fields = [
        "corpus",
        "publication",
        "lance_version",
        "snapshot",
        "documents",
        "chunks",
        "quarantined",
        "embedder",
        "last_run",
    ]
    assert set(fields) <= found.keys()
    assert (found["corpus"], found["publication"], found["documents"], found["quarantined"]) == (
        "handbook",
        2,
        4,
        0,
    )
    assert found["last_run"].keys() == {"documents_changed", "embedded_texts", "reused_texts", "seconds"}
    assert "handbook" in published.run("status", "handbook").stdout


def test_status_before_the_first_run_says_so(terminal: Terminal) -> None:
    assert terminal.json("status", "handbook")["publication"] is None
    assert "none yet" in terminal.run("status", "handbook").stdout


def test_query_answers_from_what_is_published(published: Terminal) -> None:
    for mode in ("hybrid", "vector", "text"):
        hits = published.json("query", "handbook", "birds in cold water", "-k", "2", "--mode", mode)
        assert 1 <= len(hits) <= 2
        assert {"document_id", "chunk_id", "text", "score", "heading_path"} <= hits[0].keys()
        assert hits[0]["document_id"] == "a.md"
        assert hits[0]["heading_path"] == ["Penguins"]
    only = published.json("query", "handbook", "penguins", "--where", "document_id = 'd1.md'")
    assert {hit["document_id"] for hit in only} == {"d1.md"}
    shown = published.run("query", "handbook", "birds in cold water")
    assert "1. a.md" in shown.stdout
    assert "Penguins swim in cold water." in shown.stdout
    assert "nothing found" in published.run("query", "handbook", "x", "--where", "false").stdout


def test_history_lists_every_publication(published: Terminal) -> None:
    first, second = published.json("history", "handbook")
    assert {"publication", "lance_version", "time", "reason", "kind", "metrics"} <= first.keys()
    assert (first["publication"], first["kind"], first["reason"]) == (1, "publish", "first")
    assert (second["publication"], second["changes"]) == (2, {"changed": 1})
    assert second["metrics"]["recall@5 hybrid"] == 1.0
    shown = published.run("history", "handbook", COLUMNS="200").stdout
    assert "first" in shown
    assert "publish" in shown


def test_history_before_the_first_run_is_empty(terminal: Terminal) -> None:
    assert terminal.json("history", "handbook") == []
    assert "nothing is published yet" in terminal.run("history", "handbook").stdout


def test_plan_shows_and_changes_nothing(terminal: Terminal) -> None:
    found = terminal.json("plan", "handbook")
    assert (found["new"], found["parse"], found["embed"], found["publish"]) == (4, 4, 7, True)
    assert not any(Path(terminal.workspace.store).rglob("*.parquet"))
    assert "7 texts" in terminal.run("plan", "handbook").stdout


def test_what_a_rollback_holds_back_is_said_by_run_and_plan_in_the_same_words(tmp_path: Path) -> None:
    terminal = fresh(tmp_path)
    terminal.workspace.run()
    terminal.workspace.write("d1.md", document(9, 2))
    terminal.workspace.run()
    assert terminal.run("rollback", "handbook").exit_code == 0
    for command in ("plan", "run"):
        shown = " ".join(terminal.run(command, "handbook").stdout.split())
        assert "held back by a rollback" in shown
        assert "it is not published again by itself: change them, or roll forward" in shown
        assert "nothing would change" not in shown and "nothing new to publish" not in shown
    planned = terminal.json("plan", "handbook")
    assert (planned["publish"], planned["held"]) == (False, True)


def test_questions_that_came_after_the_publication_show_in_run_and_status(tmp_path: Path) -> None:
    terminal = fresh(tmp_path, evaluation={}, gate={})
    terminal.workspace.run()
    before = terminal.json("status", "handbook")
    assert before["metrics"] == {}
    terminal.workspace.configure(**SETTINGS)
    shown = terminal.run("run", "handbook").stdout
    assert "nothing new to publish" in shown and "recall@5 hybrid  1.000" in shown
    after = terminal.json("status", "handbook")
    assert after["metrics"]["recall@5 hybrid"] == 1.0
    assert after["report"] != before["report"]
    assert after["report"].removesuffix("/report.html") in shown


def test_rollback_is_on_record_and_needs_a_target(tmp_path: Path) -> None:
    terminal = fresh(tmp_path)
    assert terminal.run("rollback", "handbook").exit_code == 1
    terminal.json("run", "handbook")
    assert terminal.run("rollback", "handbook").exit_code == 1
    terminal.workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water and eat fish.")
    terminal.json("run", "handbook")
    found = terminal.json("rollback", "handbook", "--reason", "wrong diet")
    assert (found["publication"], found["kind"], found["reason"]) == (3, "rollback", "wrong diet")
    assert "fish" not in terminal.json("query", "handbook", "penguins", "-k", "1")[0]["text"]
    held = terminal.json("run", "handbook")
    assert (held["published"], held["publication"]) == (False, 3)
    result = terminal.run("rollback", "handbook", "--to", "2")
    assert result.exit_code == 0
    assert "publication 4 is what readers see now" in result.stdout
    missing = terminal.run("rollback", "handbook", "--to", "77")
    assert missing.exit_code == 1
    assert "publication 77 is not retained; retained: 1 to 4" in missing.stderr


def test_check_reads_all_corpus_files_and_gold_sets(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.json("check") == [{"corpus": "handbook", "questions": 1, "warnings": []}]
    assert "handbook.yaml: valid, 1 gold questions" in terminal.run("check").stdout.replace("\n", "")
    (tmp_path / "corpora" / "gold.jsonl").write_text("{not json\n")
    result = terminal.run("check")
    assert result.exit_code != 0
    assert "gold.jsonl" in result.stderr.replace("\n", "")


def test_check_looks_at_the_executor(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_EXECUTOR", "multiproces")
    result = terminal.run("check")
    assert result.exit_code == 2
    assert "allowed: in_process, multiprocess" in " ".join(result.stderr.split())
    monkeypatch.setenv("RAG_EXECUTOR", "multiprocess")
    assert terminal.run("check").exit_code == 0


@pytest.mark.parametrize(
    "command", [("check",), ("status", "handbook"), ("run", "handbook"), ("plan", "handbook")]
)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: [", "not valid YAML"),
        ("sources:\n  - type: folder\n    path: x\nembeder: {}\n", "embeder"),
        ("sources: []\n", "sources"),
    ],
)
def test_a_mistake_in_a_corpus_file_exits_with_2_and_names_the_line(
    terminal: Terminal, command: tuple[str, ...], text: str, message: str
) -> None:
    terminal.workspace.path.write_text(text)
    result = terminal.run(*command)
    assert result.exit_code == 2
    assert "handbook.yaml:" in result.stderr.replace("\n", "")
    assert message in result.stderr.replace("\n", " ")
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["run", "plan", "status", "history", "rollback"])
def test_an_unknown_corpus_exits_with_2_and_names_the_known(terminal: Terminal, command: str) -> None:
    result = terminal.run(command, "handbok", "--json")
    assert result.exit_code == 2
    assert "no corpus 'handbok'" in result.stderr
    assert "handbook" in result.stderr
    assert result.stdout == ""


def test_a_missing_or_empty_corpora_folder_exits_with_2(tmp_path: Path, terminal: Terminal) -> None:
    terminal.environ["RAG_CORPORA"] = str(tmp_path / "nowhere")
    assert terminal.run("check").exit_code == 2
    assert terminal.run("status", "handbook").exit_code == 2
    (tmp_path / "nowhere").mkdir()
    for arguments in (("check",), ("check", "--json")):
        result = terminal.run(*arguments)
        assert result.exit_code == 2
        assert "there are no corpus files" in result.stderr.replace("\n", " ")


def test_schema_describes_a_corpus_file() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    assert {"sources", "embedder", "gate"} <= schema["properties"].keys()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("run",),
        ("query", "handbook"),
        ("query", "handbook", " "),
        ("query", "handbook", "x", "--mode", "magic"),
        ("query", "handbook", "x", "-k", "0"),
    ],
)
def test_wrong_use_exits_with_2(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    assert terminal.run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "where", ["colour = 'red'", "true position = 0", "true) OR (false", "tenant = ?", ""]
)
def test_a_wrong_condition_is_a_message_and_no_trace(published: Terminal, where: str) -> None:
    for mode in ("hybrid", "vector", "text"):
        result = published.run("query", "handbook", "x", "--mode", mode, "--where", where)
        assert result.exit_code == 2
        assert f"where {where!r}: " in result.stderr
        assert "document_id, uri, title" in result.stderr
        assert "Traceback" not in result.output


def test_arguments_of_a_broken_encoding_are_a_question_and_no_condition(published: Terminal) -> None:
    found = published.process("query", "handbook", "penguins \udcff swim", "-k", "1")
    assert (found.returncode, "Penguins swim" in found.stdout) == (0, True)
    refused = published.process("query", "handbook", "x", "--where", "uri = '\udcff'")
    assert (refused.returncode, "half of a character" in refused.stderr) == (2, True)


def test_brackets_in_documents_are_shown_as_they_are(tmp_path: Path) -> None:
    terminal = fresh(tmp_path)
    terminal.workspace.write("a.md", "# The [bold]swim[/] list\n\nPenguins swim in cold [/red] water [0].")
    terminal.json("run", "handbook")
    shown = terminal.run("query", "handbook", "penguins swim", "-k", "1").stdout
    assert "cold [/red] water [0]." in shown
    assert "[bold]swim[/]" in shown


def test_processes_exit_with_the_codes_that_ci_reads(tmp_path: Path) -> None:
    terminal = fresh(tmp_path)
    rule = {"metric": "recall@5", "mode": "vector", "min": 1.0, "tag": "none"}
    terminal.workspace.configure(**{**SETTINGS, "gate": {"rules": [rule]}})
    refused = terminal.process("run", "handbook", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["gate"]) == (3, "refused"), refused.stderr
    assert terminal.process("status", "nobody").returncode == 2
    assert terminal.process("rollback", "handbook").returncode == 1
    status = terminal.process("status", "handbook", "--json")
    assert (status.returncode, json.loads(status.stdout)["publication"]) == (0, None), status.stderr


def test_rag_overrides_reach_the_command_line(terminal: Terminal) -> None:
    result = terminal.run("check", RAG_OVERRIDE__HANDBOOK__CHUNKING__MAX_TOKENS="5")
    assert result.exit_code == 2
    assert "RAG_OVERRIDE__HANDBOOK__CHUNKING__MAX_TOKENS" in result.stderr.replace("\n", "")


def test_a_corpus_file_is_all_a_corpus_needs(tmp_path: Path, published: Terminal) -> None:
    """A second corpus in the same store, written as YAML alone."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "x.txt").write_text("Otters hold hands.")
    (tmp_path / "otters.yaml").write_text(
        yaml.safe_dump({"sources": [{"type": "folder", "path": "docs"}], "embedder": {"type": "static"}})
    )
    terminal = Terminal(published.workspace)
    terminal.environ["RAG_CORPORA"] = str(tmp_path)
    assert terminal.json("run", "otters")["published"] is True
    assert terminal.json("query", "otters", "hands")[0]["text"] == "Otters hold hands."


@pytest.mark.parametrize("name", ["../corpora/handbook", "./handbook", "../handbook", "handbook.yaml"])
def test_a_corpus_is_named_and_not_a_path(terminal: Terminal, name: str) -> None:
    result = terminal.run("query", name, "penguins")
    assert result.exit_code == 2
    assert "there are: handbook" in result.stderr.replace("\n", " ")


@pytest.mark.parametrize("home", ["nowhere", "relative"])
def test_a_dagster_home_that_is_no_folder_exits_with_2(
    terminal: Terminal, tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relative").mkdir()
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / home) if home == "nowhere" else home
    result = terminal.run("run", "handbook", DAGSTER_HOME=path)
    assert result.exit_code == 2
    assert "DAGSTER_HOME" in result.stderr
    assert "Traceback" not in result.output


def test_check_warns_of_what_a_run_would_stumble_over_here(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "SUITES", ("no_such_package",))
    terminal.workspace.configure(**SETTINGS, quality={}, sources=[{"type": "folder", "path": "gone"}])
    (found,) = terminal.json("check")
    assert found["questions"] == 1
    folder, extra = found["warnings"]
    assert folder.startswith("sources.0.path: there is no folder /") and folder.endswith("/corpora/gone")
    assert "quality: no_such_package not installed: .venv/bin/pip install -c constraints.txt" in extra
    shown = terminal.run("check").stdout
    assert "warning: sources.0.path" in shown and "warning: quality" in shown
    monkeypatch.setattr(readiness, "CLUSTER", ("no_such_package",))
    terminal.workspace.configure(**SETTINGS, engine="ray")
    (found,) = terminal.json("check")
    assert found["warnings"][0].startswith("engine: no_such_package not installed: ")
    webhooks = {"secret_variable": "S", "accept": ["github"]}
    terminal.workspace.configure(**SETTINGS, events={"webhooks": webhooks})
    assert "no push of GitHub counts" in terminal.json("check")[0]["warnings"][0]


def test_what_data_quality_refuses_is_called_so_with_its_stage_and_report(terminal: Terminal) -> None:
    pytest.importorskip("great_expectations", reason="needs the extra 'quality'")
    folder = terminal.workspace.path.parent / "suites"
    folder.mkdir()
    (folder / "documents.yaml").write_text(
        "".join(
            f"- expectation: expect_column_max_to_be_between\n  kwargs: {{column: documents, max_value: {most}}}\n"
            f"  severity: {severity}\n"
            for most, severity in ((1, "warning"), (2, "error"))
        )
    )
    terminal.workspace.configure(**SETTINGS, quality={"suites": str(folder)})
    result = terminal.run("run", "handbook")
    assert result.exit_code == 1
    said = result.stderr.splitlines()
    assert said[0] == "error data quality of documents: errors stop what follows"
    assert said[1].startswith("  error: ") and said[2].startswith("  warning: ")
    assert said[3].startswith("Report  ") and said[3].endswith(".html")


def test_check_asks_great_expectations_about_suites_of_ones_own(terminal: Terminal) -> None:
    pytest.importorskip("great_expectations", reason="needs the extra 'quality'")
    folder = terminal.workspace.path.parent / "suites"
    folder.mkdir()
    (folder / "documents.yaml").write_text(
        "- expectation: expect_column_values_to_be_betwixt\n  kwargs: {column: near_duplicate_share}\n  severity: error\n"
    )
    terminal.workspace.configure(**SETTINGS, quality={"suites": str(folder)})
    result = terminal.run("check")
    assert result.exit_code == 2
    assert "did you mean 'expect_column_values_to_be_between'?" in " ".join(result.stderr.split())
