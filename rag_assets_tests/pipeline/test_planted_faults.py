"""Faults planted in every stage: the gate refuses, and the diagnosis names the stage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from numpy.typing import NDArray

from rag_assets.errors import GateRefused, VerificationFailed
from rag_assets.evaluation.candidate import traces
from rag_assets.evaluation.diagnosis.diagnosis import summarize_diagnoses
from rag_assets.evaluation.report.report import Report
from rag_assets.index.rows import RowSource
from rag_assets.ingest.chunking.chunker import Chunk, Chunker
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.parsing.document import ParsedDocument
from rag_assets.ingest.parsing.pool import ParserPool
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.workspace import CountingEmbedder, Workspace

TOPICS = (
    "rent", "lift", "dogs", "garden", "heating", "parking", "noise", "keys", "bins", "cellar", "balcony", "windows",
)  # fmt: skip
PEOPLE = (
    "Ada",
    "Boris",
    "Clara",
    "Dilek",
    "Emil",
    "Frida",
    "Goran",
    "Hanna",
    "Igor",
    "Jonas",
    "Karla",
    "Lukas",
)
SEARCH_RULE = {"metric": "recall@5", "min": 0.8}


def amount(place: int) -> int:
    return 137 + 41 * place


def gold_line(place: int, topic: str, **more: Any) -> dict[str, Any]:
    return {
        "id": topic,
        "question": f"How many euros does {PEOPLE[place]} charge for the {topic}?",
        "documents": [f"{topic}.html"],
        "passages": [f"{PEOPLE[place]} charges {amount(place)} euros for the {topic} every year"],
        "answer": f"{PEOPLE[place]} charges {amount(place)} euros for the {topic} every year.",
        **more,
    }


def corpus(root: Path, rules: Sequence[dict[str, Any]], table: bool = False, **answers: Any) -> Workspace:
    """Twelve documents, each with one fact at its end, and a question on each fact."""
    made = Workspace(
        root,
        str(root / "store"),
        evaluation={"gold": "gold.jsonl", "answers": {"contexts": 3, **answers}, "max_stale_share": 0.1},
        gate={"rules": list(rules)},
    )
    gold = [gold_line(place, topic) for place, topic in enumerate(TOPICS)]
    (made.path.parent / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gold))
    for place, topic in enumerate(TOPICS):
        fact = f"{PEOPLE[place]} charges {amount(place)} euros for the {topic} every year"
        body = (
            f"<table><tr><th>What</th></tr><tr><td>{fact}</td></tr></table>" if table else f"<p>{fact}.</p>"
        )
        filler = f"This page of the house rules is about the {topic} and about nothing else in the house."
        made.write(
            f"{topic}.html",
            f"<html><body><main><h1>The {topic}</h1><p>{filler} {filler}</p>{body}</main></body></html>",
        )
    return made


def refused(made: Workspace, pipeline: Pipeline | None = None) -> tuple[str, Report]:
    """The stage that the diagnosis names first, after the gate has refused."""
    if pipeline is None:
        pipeline, _ = made.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    pipeline.candidate()
    pipeline.answers()
    pipeline.judgements()
    report, _ = pipeline.evaluate()
    with pytest.raises(GateRefused):
        pipeline.publish(reason="test", by="tests")
    return summarize_diagnoses(report.diagnoses)[0][0], report


def test_without_a_fault_the_same_corpus_is_published(tmp_path: Path) -> None:
    rules = [
        SEARCH_RULE,
        {"metric": "faithfulness", "min": 0.6},
        {"metric": "answer_correctness", "min": 0.5},
    ]
    made = corpus(tmp_path, rules)
    made.run()
    assert made.rows(vectors=False).height >= len(TOPICS)


class ShuffledEmbedder(CountingEmbedder):
    """Gives each text the vector of another."""

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        return np.roll(super().embed(texts, tokens), len(texts) // 2, axis=0)


def test_shuffled_vectors_point_at_the_embedding(tmp_path: Path) -> None:
    made = corpus(tmp_path, [{"metric": "ndcg@10", "mode": "vector", "min": 0.8}])
    for place in range(80):
        made.write(f"letter-{place}.txt", f"Letter {place} to the tenants: {'good day and thank you. ' * 9}")
    shuffled = ShuffledEmbedder(open_embedder(made.corpus.embedder))
    pipeline = Pipeline(made.objects, made.corpus, run_id="run", embedder=shuffled)
    stage, report = refused(made, pipeline)
    assert stage == "embedding"
    assert len(report.diagnoses) >= len(TOPICS) / 2


def test_truncated_chunks_point_at_the_chunking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = corpus(tmp_path, [SEARCH_RULE])
    whole = Chunker.chunk

    def truncated(self: Chunker, texts: Sequence[str]) -> list[list[Chunk]]:
        return [
            [dataclasses.replace(chunk, text=chunk.text[:60]) for chunk in chunks]
            for chunks in whole(self, texts)
        ]

    monkeypatch.setattr(Chunker, "chunk", truncated)
    assert refused(made)[0] == "chunking"


def test_chunks_far_too_small_point_at_the_chunking_and_not_at_what_was_wrong_before(tmp_path: Path) -> None:
    rules = [{"metric": "answer_correctness", "max_drop": 0.05}]
    made = corpus(tmp_path, rules)
    gold = []
    for place, topic in enumerate(TOPICS):
        fact = (
            f"{PEOPLE[place]} charges, as the meeting of all tenants of both houses has decided once more this spring, "
            f"a sum of {amount(place)} euros for the {topic} every year"
        )
        made.write(
            f"{topic}.html", f"<html><body><main><h1>The {topic}</h1><p>{fact}.</p></main></body></html>"
        )
        answer = f"{PEOPLE[place]} charges a sum of {amount(place)} euros" if place > 3 else "Nobody knows 5."
        gold.append(gold_line(place, topic, passages=[], answer=answer))
    (made.path.parent / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gold))
    made.run()
    settings = yaml.safe_load(made.path.read_text())
    made.path.write_text(yaml.safe_dump({**settings, "chunking": {"max_tokens": 16}}))
    pipeline, _ = made.pipeline()
    first, second = (
        one.text.split() for one in pipeline.context.chunker.chunk([f"# The {topic}\n\n{fact}."])[0][-2:]
    )
    # It names no document: those that search found are looked at.
    straddling = {
        "id": "cut",
        "question": gold[-1]["question"] + " Now?",
        "passages": [" ".join(first[-2:] + second[:2])],
    }
    with (made.path.parent / "gold.jsonl").open("a") as lines:
        lines.write(json.dumps(straddling) + "\n")
    stage, report = refused(made)
    assert stage == "chunking"
    assert {one.question_id: one.stage for one in report.diagnoses}["cut"] == "chunking"
    assert all(one.new for one in report.diagnoses if one.stage == "chunking")
    assert {one.question_id for one in report.diagnoses if not one.new} == set(TOPICS[:4])


def test_a_parser_that_drops_tables_points_at_the_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = corpus(tmp_path, [SEARCH_RULE], table=True)
    whole = ParserPool.parse

    def without_tables(self: ParserPool, documents: Any) -> Iterator[Any]:
        for key, outcome in whole(self, documents):
            if isinstance(outcome, ParsedDocument):
                kept = [line for line in outcome.text.splitlines() if not line.lstrip().startswith("|")]
                outcome = dataclasses.replace(outcome, text="\n".join(kept))
            yield key, outcome

    monkeypatch.setattr(ParserPool, "parse", without_tables)
    assert refused(made)[0] == "parsing"


def test_a_stale_index_is_refused_by_its_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = corpus(tmp_path, [SEARCH_RULE])
    fresh = RowSource.batches

    def stale(
        self: RowSource, documents: pl.DataFrame, schema: Any, *, checked: bool = False
    ) -> Iterator[Any]:
        for batch in fresh(self, documents, schema, checked=checked):
            if checked:  # rows that the table is compared with, as against those that are written
                yield batch
                continue
            titles = pl.Series(["an old title"] * batch.num_rows).to_arrow().cast("string")
            yield batch.set_column(schema.get_field_index("title"), "title", titles)

    monkeypatch.setattr(RowSource, "batches", stale)
    with pytest.raises(VerificationFailed, match="with other content"):
        made.run()
    assert made.pipeline()[0].log.head() is None


def test_dead_ids_point_at_the_gold_set(tmp_path: Path) -> None:
    made = corpus(tmp_path, [SEARCH_RULE])
    gold = [
        gold_line(place, topic, **({"documents": [f"old/{topic}.html"]} if place < 4 else {}))
        for place, topic in enumerate(TOPICS)
    ]
    (made.path.parent / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gold))
    stage, report = refused(made)
    assert stage == "gold set"
    assert "4 of 12 gold questions want documents that are not in the corpus" in report.verdict.problems[0]


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("invented number", {"metric": "faithfulness", "min": 0.6}),
        ("wrong prompt", {"metric": "answer_correctness", "min": 0.5}),
    ],
)
def test_a_generator_that_invents_or_misunderstands_points_at_the_generation(
    tmp_path: Path, fault: str, rule: dict[str, Any]
) -> None:
    def reply(call: int, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        system, user = (message["content"] for message in request["messages"])
        asked = user.split("Question: ")[1]
        person, topic = asked.split("does ")[1].split(" charge")[0], asked.split("for the ")[1].rstrip("?")
        if fault == "wrong prompt":
            assert system == "Greet the user."
            return 200, {"answer": "Good morning, how are you today?", "citations": [], "abstained": False}
        answer = f"{person} charges 98765 dollars for the {topic} every second week."
        return 200, {"answer": answer, "citations": [1], "abstained": False}

    with FaultyServer(reply).running() as server:
        generator = {"type": "openai", "url": server.url, "model": "m"}
        made = corpus(
            tmp_path,
            [rule],
            generator=generator,
            **({"instructions": "Greet the user."} if fault == "wrong prompt" else {}),
        )
        stage, report = refused(made)
    assert stage == "generation"
    assert len(report.diagnoses) >= 10


def test_what_was_not_diagnosed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = corpus(tmp_path, [SEARCH_RULE])
    for topic in TOPICS:
        made.write(
            f"{topic}.html", "<html><body><main><p>This page was emptied by mistake.</p></main></body></html>"
        )
    monkeypatch.setattr(traces, "TRACED", 5)
    _, report = refused(made)
    wrong = len(report.diagnoses) + int(report.warnings[-1].split()[0])
    assert len(report.diagnoses) <= 5
    assert "further questions went wrong; they were not diagnosed" in report.warnings[-1]
    monkeypatch.setattr(traces, "TRACED", 500)
    _, whole = refused(corpus_again(made))
    assert len(whole.diagnoses) == wrong


def corpus_again(made: Workspace) -> Workspace:
    """The same corpus with another report to write: reports that are whole are not made again."""
    for info in list(made.objects.list(f"corpora/{made.name}/reports")):
        made.objects.delete([info.path])
    return made
