"""What is compared is whole, current and asked alike; or nothing is published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_assets.corpus import Rule
from rag_assets.errors import GateRefused
from rag_assets.evaluation.candidate import answers as candidate_answers
from rag_assets.evaluation.candidate import stage as candidate_stage
from rag_assets.evaluation.gate.gate import decide
from rag_assets.evaluation.judging import local
from rag_assets.evaluation.judging.judge import Score
from rag_assets.evaluation.report.regression import regressions_of
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.workspace import Workspace, run_stages

QUESTIONS = 12


def text(number: int) -> str:
    return f"# Flat {number}\n\nFlat {number} has a boiler that is serviced in week {number + 10} by the landlord.\n"


class Said:
    """Answers with the first line of the first passage; some questions fail."""

    def __init__(self) -> None:
        self.fails = lambda prompt: False
        self.rubbish = lambda prompt: False

    def __call__(self, call: int, request: Mapping[str, Any]) -> tuple[int, Any]:
        prompt = request["messages"][1]["content"]
        if self.fails(prompt):
            return 500, "{}"
        if self.rubbish(prompt):
            answer = "Purple elephants danced in Paris in 1887."
        else:
            answer = next(line for line in prompt.splitlines() if "boiler that" in line)
        return 200, {"answer": answer, "citations": [1], "abstained": False}


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def made(tmp_path: Path, said: Said) -> Iterator[Workspace]:
    with FaultyServer(said).running() as server:
        generator = {"type": "openai", "url": server.url, "model": "m", "retries": 0}
        workspace = Workspace(tmp_path, str(tmp_path / "store"))
        workspace.configure(
            evaluation={"gold": "gold.jsonl", "answers": {"generator": generator, "contexts": 2}},
            gate={"rules": [{"metric": "faithfulness", "min": 0.0, "max_drop": 0.05}]},
        )
        for number in range(QUESTIONS):
            workspace.write(f"d{number}.md", text(number))
        ask(workspace)
        yield workspace


def ask(workspace: Workspace, end: str = "?", order: int = 1) -> None:
    lines = [
        {"id": str(n), "question": f"When is the boiler of flat {n} serviced{end}", "documents": [f"d{n}.md"]}
        for n in range(QUESTIONS)
    ][::order]
    (workspace.path.parent / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def evaluated(workspace: Workspace) -> Pipeline:
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    pipeline.candidate()
    pipeline.answers()
    pipeline.judgements()
    return pipeline


def test_a_drop_is_not_decided_while_the_published_version_is_hardly_judged(
    made: Workspace, said: Said
) -> None:
    made.run()
    ask(made, " this year?")
    for number in range(QUESTIONS):
        made.write(f"d{number}.md", text(number) + "\nChanged since.\n")
    said.fails = lambda prompt: "Changed since" not in prompt and "flat 3 " not in prompt
    said.rubbish = lambda prompt: "Changed since" in prompt and "flat 3 " not in prompt
    pipeline = evaluated(made)
    report, _ = pipeline.evaluate()
    assert not report.verdict.passed
    assert "in the published version's evaluation" in report.verdict.outcomes[1].reason
    assert any("not judged" in reason for reason in regressions_of(report))
    with pytest.raises(GateRefused):
        pipeline.publish(reason="test", by="tests")
    # The server is well again: the same candidate is compared with all of the published answers.
    said.fails = lambda prompt: False
    report, _ = evaluated(made).evaluate()
    assert report.verdict.outcomes[1].n == QUESTIONS
    assert not report.verdict.passed, "the answers are rubbish"


def test_another_version_of_the_judge_judges_anew_before_anything_is_published(
    made: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = evaluated(made)
    before = pipeline.evaluate()[0].metric("faithfulness")
    whole = local.LocalJudge._judge

    def stricter(self: local.LocalJudge, case: Any, vectors: Any) -> dict[str, Score]:
        found = whole(self, case, vectors)
        return {name: Score(one.value / 10, one.reason, one.evidence) for name, one in found.items()}

    monkeypatch.setattr(local, "VERSION", local.VERSION + 1)
    monkeypatch.setattr(local.LocalJudge, "_judge", stricter)
    stale, _ = made.pipeline()
    with pytest.raises(GateRefused, match="12 of 12 questions are not judged"):
        stale.publish(reason="test", by="tests")
    after = evaluated(made).evaluate()[0].metric("faithfulness")
    assert before is not None and after is not None
    assert after.value == pytest.approx(before.value / 10)


def test_a_tags_rule_counts_the_tags_unjudged_questions(made: Workspace, said: Said) -> None:
    said.fails = lambda prompt: "flat 1 " in prompt
    report, _ = evaluated(made).evaluate()
    measured = made.pipeline()[0].standards.measurements.read(str(report.subject.candidate))
    assert measured is not None
    few = pl.when(pl.col("question_id").is_in(["1", "2"])).then(pl.lit(["few"]))
    tagged = measured.figures.with_columns(tags=few.otherwise(pl.lit([], pl.List(pl.String))))
    rule = Rule.model_validate({"metric": "faithfulness", "min": 0.0, "tag": "few"})
    assert not decide([rule], tagged, None, (), 0.2).passed, "1 of 2, though 1 of 12 of all"
    assert decide([rule], tagged, None, (), 0.5).passed


def test_the_order_of_the_gold_set_does_not_matter(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_answers, "BATCH", 5)
    monkeypatch.setattr(candidate_stage, "BATCH", 5)
    made.run()
    ask(made, order=-1)
    assert evaluated(made).evaluate()[0].verdict.passed


@pytest.mark.parametrize("lost", ["measurements", "contexts", "reports"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1 and nothing"])
def test_what_can_be_made_anew_is_made_anew(made: Workspace, lost: str, content: bytes | None) -> None:
    made.run()
    made.write("d1.md", text(1) + "\nMore of it.\n")
    evaluated(made).evaluate()
    for info in list(made.objects.list(f"corpora/{made.name}/{lost}")):
        made.objects.delete([info.path])
        if content is not None:
            made.objects.put(info.path, content)
    pipeline, _ = made.pipeline()
    run_stages(pipeline)
    head = pipeline.log.head()
    assert head is not None and head.number == 2
