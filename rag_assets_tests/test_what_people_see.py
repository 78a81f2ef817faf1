"""What terminal, JSON, JUnit and report say of a refused version, of one that nothing judged, and of what is left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets_tests.house_rules import ALL_FOUND, asked, fresh, page, remove
from rag_assets_tests.workspace import Workspace

GONE = "gone since publication 1: rent.md (1 question): restore it, or retire the question"


class Terminal:
    """``rag-assets`` for one corpus."""

    def __init__(self, made: Workspace) -> None:
        self.made = made
        self._environ = {"RAG_CORPORA": str(made.path.parent), "RAG_STORE": made.store}

    def run(self, command: str, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [command, self.made.name, *arguments], env=self._environ)
        assert result.exit_code == code, result.output
        return result

    def json(self, command: str, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(command, *arguments, "--json", code=code).stdout)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A corpus whose publication found everything, and which lost a document since."""
    made = fresh(tmp_path, ALL_FOUND)
    made.run()
    remove(made, "rent")
    return Terminal(made)


def test_a_refused_run_says_first_what_was_refused_and_what_readers_keep(terminal: Terminal) -> None:
    shown = terminal.run("run", code=3).output
    assert shown.startswith("REFUSED version ") and "readers keep publication 1" in shown.splitlines()[0]
    assert shown.index("below the required 1.000") < shown.index("documents changed")
    assert shown.index(GONE) < shown.index("documents changed")
    assert 'set "retired": true' in shown
    assert "warning: Only 12 gold questions were asked." in shown
    found = terminal.json("run", code=3)
    assert (found["gate"], found["publication"]) == ("refused", 1)
    assert "0.083 below the required 1.000" in found["refused"][0] and GONE in found["refused"]
    assert found["lost"][0]["question_id"] == "rent"
    assert found["warnings"]


def test_a_removal_is_a_regression_however_few_questions_it_costs(tmp_path: Path) -> None:
    made = fresh(tmp_path)
    made.run()
    remove(made, "rent")
    terminal, verdict, report = Terminal(made), tmp_path / "verdict.xml", tmp_path / "report.html"
    assert terminal.json("evaluate", "--junit", str(verdict))["worse"][0] == GONE
    (skipped,) = ElementTree.parse(verdict).findall(".//testcase[@classname='handbook.targets']/skipped")
    assert skipped.get("message") == GONE
    arguments = ("--fail-on-regression", "--junit", str(verdict), "--html", str(report))
    shown = terminal.run("evaluate", *arguments, code=3)
    assert f"WORSE than publication 1:\n  {GONE}" in shown.stdout
    assert terminal.json("evaluate", "--fail-on-regression", code=3)["regressions"][0] == GONE
    (failed,) = ElementTree.parse(verdict).findall(".//testcase[@classname='handbook.targets']/failure")
    assert failed.get("message") == GONE
    assert GONE in report.read_text() and "Lost questions" in report.read_text()
    assert "✓</span> Passed" not in report.read_text()


def test_status_and_history_say_refused_until_a_run_passes(terminal: Terminal) -> None:
    terminal.run("run", code=3)
    refused = terminal.json("status")["refused"]
    assert refused["publication"] == 1
    assert "below the required 1.000" in refused["reasons"][0] and GONE in refused["reasons"]
    assert terminal.made.objects.find(refused["report"]) is not None
    shown = terminal.run("status").stdout
    assert shown.startswith("REFUSED") and "readers keep publication 1" in shown
    assert "below the required 1.000" in shown and refused["report"] in shown
    (entry,) = terminal.json("history")
    assert (entry["publication"], entry["refused"]) == (1, [refused])
    listed = terminal.run("history").stdout
    assert "REFUSED" in listed and "0.083 below the required 1.000" in listed and refused["report"] in listed
    # Restored: nothing is refused any more, and the attempt stays on record.
    terminal.made.write("rent.md", page("rent"))
    terminal.run("run")
    assert terminal.json("status")["refused"] is None
    assert "REFUSED" not in terminal.run("status").stdout
    assert [entry["refused"] for entry in terminal.json("history")] == [[refused]]
    assert "REFUSED" in terminal.run("history").stdout


def test_a_version_that_was_refused_and_published_later_stays_on_record_as_both(terminal: Terminal) -> None:
    terminal.run("run", code=3)
    (terminal.made.path.parent / "gold.jsonl").write_text(json.dumps(asked("lift")) + "\n")
    terminal.run("run")
    first, second = terminal.json("history")
    assert (first["publication"], second["publication"]) == (1, 2)
    assert [one["lance_version"] for one in first["refused"]] == [second["lance_version"]]
    assert second["refused"] == []
    assert terminal.json("status")["refused"] is None


def test_what_was_refused_is_known_without_dagster_and_before_the_first_publication(tmp_path: Path) -> None:
    made = fresh(tmp_path, ALL_FOUND)
    made.write("lift.md", "# Lift\n\nNothing of what is asked.\n")
    terminal = Terminal(made)
    terminal.run("run", code=3)
    shutil.rmtree(tmp_path / ".dagster", ignore_errors=True)
    status = terminal.json("status")
    assert (status["publication"], status["refused"]["publication"]) == (None, None)
    assert "nothing is published yet" in terminal.run("status").stdout
    (entry,) = terminal.json("history")
    assert (entry["publication"], entry["refused"]) == (None, [status["refused"]])
    assert "REFUSED" in terminal.run("history").stdout


def test_a_run_that_fails_later_does_not_hide_what_was_refused(terminal: Terminal) -> None:
    terminal.run("run", code=3)
    for number in range(20):
        terminal.made.write(f"broken{number}.pdf", "%PDF-1.4 not really")
    terminal.run("run", code=1)
    assert GONE in terminal.json("status")["refused"]["reasons"]


def test_a_rollback_after_a_refusal_ends_it(tmp_path: Path) -> None:
    made = fresh(tmp_path, ALL_FOUND)
    made.run()
    made.write("lift.md", page("lift") + "\nEdited.\n")
    made.run()
    remove(made, "rent")
    terminal = Terminal(made)
    terminal.run("run", code=3)
    terminal.run("rollback")
    assert terminal.json("status")["refused"] is None
    found = terminal.json("history")
    assert [entry["kind"] for entry in found] == ["publish", "publish", "rollback"]
    assert [len(entry["refused"]) for entry in found] == [0, 1, 0]


@pytest.mark.parametrize(
    ("evaluation", "words", "next_step"),
    [
        ({}, "not measured: handbook has no gold questions", "rag-assets gold propose handbook"),
        (
            {"gold": "gold.jsonl"},
            "not measured against a rule: handbook has no gate.rules",
            "rag-assets evaluate",
        ),
    ],
    ids=["no gold questions", "no rules"],
)
def test_what_nothing_judged_is_not_measured_and_never_passed(
    tmp_path: Path, evaluation: dict[str, Any], words: str, next_step: str
) -> None:
    made = fresh(tmp_path)
    made.configure(evaluation=evaluation)
    terminal = Terminal(made)
    shown = terminal.run("run").stdout
    assert "published, not measured" in shown
    for text in (shown, terminal.run("status").stdout):
        assert words in text and next_step in text
        assert "passed" not in text.lower()
    found = terminal.json("run")
    assert found["gate"] == "not measured" and found["not_measured"].startswith(words)
    status = terminal.json("status")
    assert status["gate"] == "not measured" and status["not_measured"].startswith(words)
    (path,) = (Path(made.store) / "corpora" / made.name / "reports").glob("*/report.html")
    written = path.read_text()
    assert "<title>Not measured" in written and 'class="badge none"' in written
    assert words in written and "Passed" not in written


def test_without_rules_evaluate_compares_and_its_verdict_is_skipped(tmp_path: Path) -> None:
    made, verdict = fresh(tmp_path), tmp_path / "verdict.xml"
    terminal = Terminal(made)
    terminal.run("run")
    made.write("lift.md", page("lift") + "\nEdited.\n")
    shown = terminal.run("evaluate", "--fail-on-regression", "--junit", str(verdict)).stdout
    assert "gate: not measured against a rule: handbook has no gate.rules" in shown
    cases = ElementTree.parse(verdict).findall(".//testcase[@classname='handbook.gate']")
    assert [case.find("skipped") is not None for case in cases] == [True]


def test_without_gold_questions_evaluate_is_wrong_use_and_names_the_next_command(tmp_path: Path) -> None:
    made, verdict = fresh(tmp_path), tmp_path / "verdict.xml"
    made.configure()
    result = Terminal(made).run("evaluate", "--fail-on-regression", "--junit", str(verdict), code=2)
    assert "rag-assets gold propose handbook" in result.stderr
    assert ElementTree.parse(verdict).find(".//error") is not None


def test_run_and_plan_name_what_is_quarantined(tmp_path: Path) -> None:
    made = fresh(tmp_path)
    made.configure(parsing={"max_quarantined_share": 1})
    for number in range(13):
        made.write(f"broken{number:02d}.pdf", "%PDF-1.4 not really")
    terminal = Terminal(made)
    for command in ("plan", "run"):
        shown = terminal.run(command).stdout
        assert "quarantined broken00.pdf: " in shown and "quarantined broken09.pdf: " in shown
        assert "broken10.pdf" not in shown and "and 3 more documents" in shown
        found = terminal.json(command)
        assert found["quarantined"] == 13
        assert [one["document_id"] for one in found["quarantined_documents"]][-1] == "broken12.pdf"


def test_a_run_that_is_stopped_by_the_quarantine_names_its_documents(tmp_path: Path) -> None:
    made = fresh(tmp_path)
    for number in range(13):
        made.write(f"broken{number:02d}.pdf", "%PDF-1.4 not really")
    assert "quarantined broken00.pdf: " in Terminal(made).run("run", code=1).stdout
