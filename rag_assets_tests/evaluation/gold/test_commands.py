"""``rag-assets gold`` as its user runs it, on a real corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rag_assets.cli import app
from rag_assets.evaluation.gold import load_gold
from rag_assets.evaluation.report.files import read_report
from rag_assets_tests.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    gold = tmp_path / "corpora" / "gold.jsonl"
    made = Workspace(tmp_path, str(tmp_path / "store"), evaluation={"gold": "gold.jsonl"})
    made.write(
        "rent.md", "# Rent\n\n## Paying\n\nThe tenant pays the rent on the third working day of each month.\n"
    )
    made.write(
        "lift.md", "# Lift\n\n## Repairs\n\nThe landlord repairs the lift within ten days of the report.\n"
    )
    gold.write_text(
        '{"id": "a", "question": "When is the rent due?", "documents": ["rent.md"], "tags": ["money"]}\n'
    )
    monkeypatch.setenv("RAG_STORE", made.store)
    monkeypatch.setenv("RAG_CORPORA", str(tmp_path / "corpora"))
    return made


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["gold", *arguments])


def gold_path(workspace: Workspace) -> Path:
    return workspace.path.parent / "gold.jsonl"


def test_a_proposal_is_not_asked_until_a_person_accepts_it(workspace: Workspace) -> None:
    workspace.run()
    result = command("propose", workspace.name, "--json")
    assert result.exit_code == 0, result.output
    proposed = json.loads(result.stdout)
    assert [question["documents"] for question in proposed["questions"]] == [["lift.md"]]
    path = gold_path(workspace)
    assert len(load_gold(path).questions) == 1
    assert len(load_gold(path).proposals) == 1
    path.write_text(path.read_text().replace(', "accepted": false', ""))
    assert [question.documents for question in load_gold(path).questions] == [("rent.md",), ("lift.md",)]
    assert command("check", workspace.name).exit_code == 0, "what was proposed stands in the documents"
    again = json.loads(command("propose", workspace.name, "--json").stdout)
    assert (again["uncovered"], again["questions"]) == (0, [])


def test_checking_before_the_first_run_says_what_to_do(workspace: Workspace) -> None:
    result = command("check", workspace.name)
    assert result.exit_code == 1
    assert "run it first" in result.output


def test_a_stale_question_fails_the_check_and_is_not_counted_by_the_evaluation(workspace: Workspace) -> None:
    with gold_path(workspace).open("a") as gold:
        gold.write('{"id": "b", "question": "Where is it?", "documents": ["gone.md"]}\n')
    workspace.configure(evaluation={"gold": "gold.jsonl", "max_stale_share": 0.5})
    workspace.run()
    result = command("check", workspace.name, "--json")
    assert result.exit_code == 1
    assert [(one["question_id"], one["kind"]) for one in json.loads(result.stdout)] == [
        ("b", "dead document")
    ]
    pipeline, _ = workspace.pipeline()
    head = pipeline.log.head()
    assert head is not None
    found = read_report(workspace.objects, head.report)
    assert found is not None
    assert [one.question_id for one in found[0].stale] == ["b"]
    recall = found[0].metric("recall@5")
    assert recall is not None
    assert (recall.value, recall.n) == (1.0, 1)


def test_a_passage_that_stands_nowhere_fails_the_check_and_is_not_called_stale(workspace: Workspace) -> None:
    with gold_path(workspace).open("a") as gold:
        gold.write('{"id": "b", "question": "Where is it?", "passages": ["nobody ever wrote these words"]}\n')
    workspace.configure(evaluation={"gold": "gold.jsonl"})
    workspace.run()
    result = command("check", workspace.name)
    assert result.exit_code == 1
    shown = " ".join(result.stdout.split())
    assert "2 questions, 0 stale, 1 with a passage that stands nowhere" in shown
    assert "As of snapshot 1, made by the last run; the sources may have changed since." in shown


def test_too_many_stale_questions_refuse_the_candidate(workspace: Workspace) -> None:
    from rag_assets.errors import GateRefused

    with gold_path(workspace).open("a") as gold:
        gold.write('{"id": "b", "question": "Where is it?", "documents": ["gone.md"]}\n')
    with pytest.raises(GateRefused, match="1 of 2 gold questions want documents that are not in the corpus"):
        workspace.run()


def test_split_writes_a_file_per_tag_and_import_reads_a_table(workspace: Workspace, tmp_path: Path) -> None:
    table = tmp_path / "set.csv"
    table.write_text("question,documents,tags\nWho repairs?,lift.md,\n")
    result = command("import", "csv", str(table), "--into", str(gold_path(workspace)), "--json")
    assert json.loads(result.stdout)["questions"] == 1
    assert json.loads(
        command("split", workspace.name, "--into", str(tmp_path / "parts"), "--json").stdout
    ) == {
        "money.jsonl": 1,
        "untagged.jsonl": 1,
    }
    assert [one.question for one in load_gold(tmp_path / "parts" / "untagged.jsonl").questions] == [
        "Who repairs?"
    ]


def test_a_wrong_column_or_a_corpus_without_gold_is_wrong_use(workspace: Workspace, tmp_path: Path) -> None:
    table = tmp_path / "set.csv"
    table.write_text("question\n")
    result = command("import", "csv", str(table), "--into", str(tmp_path / "g"), "--column", "x")
    assert result.exit_code == 2
    assert "FIELD=HEADER" in result.output
    workspace.configure()
    assert command("check", workspace.name).exit_code == 2
