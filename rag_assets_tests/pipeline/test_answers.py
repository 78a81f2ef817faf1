"""Gold questions are answered from the candidate and judged; nothing is done twice, and nothing passes unjudged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import GateRefused
from rag_assets.evaluation.report.files import read_report
from rag_assets.evaluation.report.plots import rank_shares
from rag_assets.evaluation.report.report import Report
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.workspace import Workspace

DOCUMENTS = {
    "rent.md": "# Rent\n\nThe tenant pays 450 euros of rent on the third working day of each month.\n",
    "lift.md": "# Lift\n\nThe landlord repairs the lift within ten days of the report.\n",
    "dogs.md": "# Dogs\n\nTenants may keep one dog of up to twelve kilograms.\n",
}
GOLD: list[dict[str, Any]] = [
    {
        "id": "rent",
        "question": "How many euros of rent does the tenant pay?",
        "documents": ["rent.md"],
        "answer": "The tenant pays 450 euros of rent.",
    },
    {"id": "lift", "question": "Who repairs the lift?", "documents": ["lift.md"], "answer": "The landlord."},
    {"id": "moon", "question": "How far away is the moon?", "answerable": False, "tags": ["unanswerable"]},
]


def workspace(root: Path, rules: list[dict[str, Any]] | None = None, **answers: Any) -> Workspace:
    made = Workspace(
        root,
        str(root / "store"),
        evaluation={"gold": "gold.jsonl", "answers": {"contexts": 2, **answers}},
        gate={"rules": rules or []},
    )
    (made.path.parent / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in GOLD))
    for name, text in DOCUMENTS.items():
        made.write(name, text)
    return made


def build(made: Workspace) -> Pipeline:
    pipeline, _ = made.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    pipeline.candidate()
    return pipeline


def report_of(made: Workspace) -> Report:
    pipeline, _ = made.pipeline()
    head = pipeline.log.head()
    assert head is not None
    found = read_report(made.objects, head.report)
    assert found is not None
    return found[0]


def endpoint(server: FaultyServer, **more: Any) -> dict[str, Any]:
    return {"type": "openai", "url": server.url, "model": "m", "timeout_seconds": 2, "retries": 0, **more}


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(lambda call, request: (200, answer_from(request))).running() as running:
        yield running


def answer_from(request: dict[str, Any]) -> dict[str, Any]:
    """What a good model would say: the first passage, or an abstention on the moon."""
    text = request["messages"][1]["content"]
    if "moon" in text:
        return {"answer": "", "citations": [], "abstained": True}
    first = text.split("[2]")[0].splitlines()
    return {"answer": first[1] if len(first) > 1 else first[0], "citations": [1], "abstained": False}


def test_the_report_shows_answers_citations_abstention_and_scores(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    made.run()
    report = report_of(made)
    assert report.judged is not None
    assert (report.judged.answered, report.judged.unanswered, report.judged.unjudged) == (3, 0, 0)
    assert {"faithfulness", "contextual_relevancy", "answer_relevancy"} == set(report.judged.reliability)
    by_id = {answer.question_id: answer for answer in report.answers}
    assert "450 euros" in str(by_id["rent"].answer)
    assert [context.document_id for context in by_id["rent"].contexts if context.cited] == ["rent.md"]
    assert by_id["moon"].abstained
    faithfulness, abstention = report.metric("faithfulness"), report.metric("abstention")
    assert faithfulness is not None and faithfulness.value > 0.5
    assert abstention is not None and (abstention.value, abstention.n) == (1.0, 1)
    head = made.pipeline()[0].log.head()
    assert head is not None
    found = read_report(made.objects, head.report)
    assert found is not None
    lost = [share for share in rank_shares(found[1]) if share["bin"] == "not found"]
    assert {share["share"] for share in lost} == {0.0}, (
        "a question without targets is not one that was not found"
    )


def test_the_report_shows_what_the_published_version_answered_from_what(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    made.run()
    assert [answer.published for answer in report_of(made).answers] == [None] * 3
    made.write(
        "rent.md", "# Rent\n\nThe tenant pays 475 euros of rent on the third working day of each month.\n"
    )
    made.run()
    by_id = {answer.question_id: answer for answer in report_of(made).answers}
    rent, moon = by_id["rent"], by_id["moon"]
    assert rent.published is not None and rent.published.answer is not None
    assert "475 euros" in str(rent.answer) and "450 euros" in rent.published.answer
    (now,) = [context for context in rent.contexts if context.document_id == "rent.md"]
    (then,) = [context for context in rent.published.contexts if context.document_id == "rent.md"]
    assert (now.same_as, then.same_as) == (None, None)
    assert "475" in str(now.text) and "450" in str(then.text)
    assert rent.published.score("faithfulness") is not None
    assert moon.published is not None and moon.published.abstained


def test_the_same_question_over_the_same_contexts_is_never_generated_or_judged_twice(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    pipeline = build(made)
    assert pipeline.answers().made == 3
    assert pipeline.judgements().made == 3
    for name in DOCUMENTS:
        (made.documents / name).rename(made.documents / f"moved-{name}")
    pipeline = build(made)
    counts = pipeline.answers()
    assert (counts.made, counts.reused) == (0, 3)
    judged = pipeline.judgements()
    assert (judged.made, judged.reused) == (0, 3)


def test_the_endpoint_is_asked_only_for_what_failed(tmp_path: Path, server: FaultyServer) -> None:
    rule = {"metric": "answered", "min": 0.5}
    made = workspace(tmp_path, [rule], generator=endpoint(server))
    good = server.script
    server.script = lambda call, request: (
        (500, "{}")
        if "lift" in request["messages"][1]["content"].split("Question:")[1]
        else good(call, request)
    )
    pipeline = build(made)
    counts = pipeline.answers()
    assert counts.made == 2
    assert [reason.startswith("the server answered 500") for reason in counts.failures.values()] == [True]
    pipeline.judgements()
    report, _ = pipeline.evaluate()
    assert not report.verdict.passed
    assert "1 of 3 questions are not judged (the server answered 500" in report.verdict.outcomes[0].reason
    with pytest.raises(GateRefused):
        pipeline.publish(reason="test", by="tests")
    server.script = good
    asked = len(server.requests)
    pipeline, _ = made.pipeline()
    assert pipeline.answers().made == 1
    assert len(server.requests) == asked + 1
    pipeline.judgements()
    report, _ = pipeline.evaluate()
    assert report.verdict.passed
    assert pipeline.publish(reason="test", by="tests")[1]


@pytest.mark.parametrize("fault", ["silent", "rubbish", "busy"])
def test_a_judge_that_fails_leaves_the_case_unjudged_and_the_gate_closed(
    tmp_path: Path, server: FaultyServer, fault: str
) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    rule = {"metric": "faithfulness", "min": 0.0}
    made = workspace(tmp_path, [rule], judge=endpoint(server), case_seconds=5)
    if fault == "silent":
        server.delay = 3
    server.script = lambda call, request: (429, "{}") if fault == "busy" else (200, "{]")
    pipeline = build(made)
    pipeline.answers()
    counts = pipeline.judgements()
    assert (counts.made, len(counts.failures)) == (0, 3)
    report, _ = pipeline.evaluate()
    assert not report.verdict.passed, "a floor of 0 must not pass what nobody judged"
    assert "3 of 3 questions are not judged" in report.verdict.outcomes[0].reason
    assert report.metric("faithfulness") is None


def test_a_judge_without_statements_is_no_proof_of_faithfulness(tmp_path: Path, server: FaultyServer) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    made = workspace(tmp_path, judge=endpoint(server, timeout_seconds=60), case_seconds=60)

    def empty(call: int, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        schema = request["response_format"]["json_schema"]["schema"]
        return 200, {name: [] for name in schema["properties"]}

    server.script = empty
    pipeline = build(made)
    pipeline.answers()
    counts = pipeline.judgements()
    assert (counts.made, len(counts.failures)) == (0, 3)


def test_a_judge_that_repeats_its_prompts_examples_has_not_judged(
    tmp_path: Path, server: FaultyServer
) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    made = workspace(tmp_path, judge=endpoint(server, timeout_seconds=60), case_seconds=60)
    example = "Einstein won a prize for his discovery of an effect in 1968."

    def parrot(call: int, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = request["response_format"]["json_schema"]["schema"]["properties"]
        verdicts = [{"verdict": "yes", "statement": example, "reason": "It is said."}]
        known = {"verdicts": verdicts, "score": 10, "reason": "It is said."}
        return 200, {name: known.get(name, [example]) for name in wanted}

    server.script = parrot
    pipeline = build(made)
    pipeline.answers()
    counts = pipeline.judgements()
    assert (counts.made, len(counts.failures)) == (0, 3)
    assert {"speaks of something else" in reason for reason in counts.failures.values()} == {True}, "\n".join(
        counts.failures.values()
    )


def test_what_a_judge_leaves_open_does_not_hold(tmp_path: Path, server: FaultyServer) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    made = workspace(tmp_path, contexts=1, judge=endpoint(server, timeout_seconds=60), case_seconds=60)

    def undecided(call: int, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        schema = request["response_format"]["json_schema"]["schema"]
        wanted, verdict = schema["properties"], "borderline" if "borderline" in json.dumps(schema) else "no"
        statement = (
            "The tenant pays 450 euros of rent to the landlord, who repairs the lift; one dog lives there."
        )
        verdicts = [{"verdict": verdict, "statement": statement, "reason": statement}]
        return 200, {name: {"verdicts": verdicts, "score": 0}.get(name, [statement]) for name in wanted} | (
            {"reason": statement} if "reason" in wanted else {}
        )

    server.script = undecided
    pipeline = build(made)
    pipeline.answers()
    pipeline.judgements()
    report, _ = pipeline.evaluate()
    scores = [score for one in report.answers for score in one.scores]
    assert {"faithfulness", "answer_relevancy", "contextual_recall"} <= {score.metric for score in scores}
    assert {score.value for score in scores} == {0.0}


def test_a_judge_that_passes_over_contexts_has_not_judged_them(tmp_path: Path, server: FaultyServer) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    made = workspace(tmp_path, judge=endpoint(server, timeout_seconds=60), case_seconds=60)

    def hasty(call: int, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wanted = request["response_format"]["json_schema"]["schema"]["properties"]
        statement = (
            "The tenant pays 450 euros of rent to the landlord, who repairs the lift; one dog lives there."
        )
        verdicts = [{"verdict": "yes", "statement": statement, "reason": statement}]
        known = {"verdicts": verdicts, "score": 10, "reason": statement}
        return 200, {name: known.get(name, [statement]) for name in wanted}

    server.script = hasty
    pipeline = build(made)
    pipeline.answers()
    counts = pipeline.judgements()
    reasons = list(counts.failures.values())
    assert len(reasons) == 2, "those with a reference: one verdict on the order of two contexts is none"
    assert all("1 verdicts on 2 contexts" in reason for reason in reasons)


def test_a_gold_set_that_no_document_answers_is_reported_too(tmp_path: Path) -> None:
    made = workspace(tmp_path, [{"metric": "abstention", "min": 0.0}])
    (made.path.parent / "gold.jsonl").write_text(json.dumps(GOLD[2]) + "\n")
    made.run()
    report = report_of(made)
    assert (report.verdict.passed, report.metric("ndcg@10")) == (True, None)
