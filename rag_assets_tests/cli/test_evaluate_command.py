"""``rag-assets evaluate`` and the files of ``deploy/ci``, as a CI system runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets.publication.publish import rollback
from rag_assets_tests.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
THINGS = (
    "rent",
    "lift",
    "dogs",
    "garden",
    "heating",
    "parking",
    "noise",
    "keys",
    "bins",
    "cellar",
    "roof",
    "door",
)
TOPICS = [f"{thing} rules" for thing in THINGS]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    made = Workspace(tmp_path, str(tmp_path / "store"))
    gold = []
    for place, topic in enumerate(TOPICS):
        fact = f"The {topic} say that tenants wait {place + 3} working days for an answer."
        made.write(f"{place:02d}.md", f"# {topic.title()}\n\n{fact}\n")
        gold.append(
            {
                "id": f"q{place}",
                "question": f"How many working days do tenants wait under the {topic}?",
                "documents": [f"{place:02d}.md"],
                "answer": fact,
            }
        )
    (made.path.parent / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gold))
    made.configure(evaluation={"gold": "gold.jsonl", "answers": {"contexts": 2}})
    monkeypatch.setenv("RAG_STORE", made.store)
    monkeypatch.setenv("RAG_CORPORA", str(made.path.parent))
    return made


def rule(workspace: Workspace, *rules: dict[str, object]) -> None:
    """Add rules to the corpus file."""
    settings = yaml.safe_load(workspace.path.read_text())
    workspace.path.write_text(yaml.safe_dump({**settings, "gate": {"rules": list(rules)}}))


def evaluate(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", workspace.name, *arguments])


def test_an_evaluation_publishes_nothing_and_writes_its_verdict(workspace: Workspace, tmp_path: Path) -> None:
    rule(workspace, {"metric": "recall@5", "min": 0.5})
    page, verdict = tmp_path / "report.html", tmp_path / "verdict.xml"
    result = evaluate(workspace, "--html", str(page), "--junit", str(verdict), "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["gate"], summary["publication"], summary["against"]) == ("passed", None, "published")
    assert "<title>Passed: handbook" in page.read_text()
    assert ElementTree.parse(verdict).getroot().tag == "testsuites"


def test_a_change_that_makes_search_worse_fails_the_build(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run()
    for place in range(len(TOPICS)):  # a change of every document that loses what the questions ask for
        workspace.write(f"{place:02d}.md", "# Untitled\n\nThis page has been emptied by mistake today.\n")
    verdict = tmp_path / "verdict.xml"
    assert evaluate(workspace, "--json").exit_code == 0, "no rule forbids it"
    result = evaluate(workspace, "--fail-on-regression", "--junit", str(verdict), "--json")
    assert result.exit_code == 3
    assert any("nDCG@10 fell from" in sentence for sentence in json.loads(result.stdout)["regressions"])
    failures = ElementTree.parse(verdict).findall(".//failure")
    assert any("nDCG@10 fell from" in str(failure.get("message")) for failure in failures)


def test_what_became_worse_stands_in_terminal_and_page_also_where_the_rules_allow_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    rule(workspace, {"metric": "recall@5", "min": 0.0})
    workspace.run()
    for place in range(len(TOPICS)):
        workspace.write(f"{place:02d}.md", "# Untitled\n\nThis page has been emptied by mistake today.\n")
    page = tmp_path / "report.html"
    result = evaluate(workspace, "--html", str(page))
    assert result.exit_code == 0
    assert "WORSE than publication 1:\n  Recall@1 fell from" in result.stdout
    assert "gate: passed, but worse than publication 1" in result.stdout
    shown = page.read_text()
    assert "✓</span> Passed" not in shown and "Passed, but worse" in shown
    banner = shown.split("Worse than publication 1")[1].split("</div>")[0]
    assert "nDCG@10 fell from" in banner and "type: markdown" in banner


def keep_questions(workspace: Workspace, count: int) -> None:
    path = workspace.path.parent / "gold.jsonl"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:count]))


def test_too_few_questions_are_said_and_skipped_and_never_pass_for_compared(
    workspace: Workspace, tmp_path: Path
) -> None:
    keep_questions(workspace, 6)
    workspace.run()
    workspace.write("00.md", "# Untitled\n\nThis page has been emptied by mistake today.\n")
    verdict = tmp_path / "verdict.xml"
    result = evaluate(workspace, "--fail-on-regression", "--junit", str(verdict))
    assert result.exit_code == 0
    assert "6 questions: too few to tell, at least 10 are needed; regression NOT checked" in result.stdout
    cases = ElementTree.parse(verdict).findall(".//testcase[@classname='handbook.published']")
    assert cases and all(case.find("skipped") is not None for case in cases)


def test_without_a_gold_set_there_is_nothing_to_evaluate(workspace: Workspace, tmp_path: Path) -> None:
    workspace.configure()
    verdict = tmp_path / "verdict.xml"
    result = evaluate(workspace, "--junit", str(verdict))
    assert result.exit_code == 2
    assert "handbook has no gold set" in result.stderr
    assert ElementTree.parse(verdict).find(".//error") is not None


def test_what_stops_before_the_gate_is_an_error_in_the_verdict(workspace: Workspace, tmp_path: Path) -> None:
    for place in range(20):
        workspace.write(f"broken{place}.pdf", "%PDF-1.4 not really")
    verdict = tmp_path / "verdict.xml"
    assert evaluate(workspace, "--junit", str(verdict)).exit_code == 1
    error = ElementTree.parse(verdict).find(".//error")
    assert error is not None and "quarantined" in str(error.get("message"))


@pytest.mark.parametrize("option", ["--junit", "--html"])
def test_a_file_that_cannot_be_written_shows_before_the_work(
    workspace: Workspace, tmp_path: Path, option: str
) -> None:
    for path in (tmp_path / "nowhere" / "verdict", tmp_path):
        result = evaluate(workspace, option, str(path))
        assert result.exit_code == 2
        assert f"{path} cannot be written" in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_candidate_that_is_published_already_is_called_so(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run()
    page, verdict = tmp_path / "report.html", tmp_path / "verdict.xml"
    result = evaluate(workspace, "--html", str(page), "--junit", str(verdict))
    assert "compared with: the same as publication 1\n" in result.stdout
    assert "<dd>the same as publication 1</dd>" in page.read_text()
    assert "the same as publication 1" in verdict.read_text()
    assert ElementTree.parse(verdict).find(".//skipped") is not None


def test_the_table_is_not_broken_where_standard_output_is_no_terminal(workspace: Workspace) -> None:
    workspace.run()
    workspace.write("00.md", "# Rent rules\n\nAnother text about nothing.\n")
    lines = evaluate(workspace).stdout.splitlines()
    assert any(
        "Contextual relevancy" in line and "… +" in line and line.endswith("12")
        for line in map(str.rstrip, lines)
    )


def test_what_a_rollback_took_back_is_not_called_evaluated(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run()
    workspace.write("00.md", "# Rent rules\n\nAnother text.\n")
    workspace.run()
    rollback(workspace.objects, workspace.name, None, reason="wrong", by="tests")
    verdict = tmp_path / "verdict.xml"
    result = evaluate(workspace, "--junit", str(verdict))
    assert result.exit_code == 1
    assert "a rollback took back" in " ".join(result.stderr.split())
    assert ElementTree.parse(verdict).find(".//error") is not None


@pytest.mark.parametrize("wrong", [False, True])
def test_the_test_module_for_ci_passes_good_answers_and_fails_bad_ones(
    workspace: Workspace, wrong: bool
) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    if wrong:
        gold = workspace.path.parent / "gold.jsonl"
        line = {"id": "q99", "question": "How many working days do tenants wait under the rent rules now?"}
        gold.write_text(gold.read_text() + json.dumps(line | {"answerable": False}) + "\n")
    assert evaluate(workspace).exit_code == 0
    finished = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(ROOT)),
            str(ROOT / "deploy" / "ci" / "test_answers.py"),
        ],
        env={**os.environ, "RAG_CORPUS": workspace.name},
        cwd=workspace.path.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == (1 if wrong else 0), finished.stdout[-3000:] + finished.stderr[-2000:]
    if wrong:
        assert "no document answers this, yet it was answered" in finished.stdout


def test_the_workflow_names_commands_and_options_that_exist() -> None:
    steps = yaml.safe_load((ROOT / "deploy" / "ci" / "evaluate.yml").read_text())["jobs"]["evaluate"]["steps"]
    commands = [step["run"].split() for step in steps if step.get("run", "").startswith("rag-assets")]
    assert [command[1] for command in commands] == ["check", "gold", "evaluate"]
    shown = CliRunner().invoke(app, ["evaluate", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert all(word in shown for word in commands[2] if word.startswith("--"))
