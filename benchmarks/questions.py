"""How an evaluation grows with its gold set: time per question against the bare calls, and memory.

SQuAD's paragraphs as documents, a question on the first sentence of each → ``rag-assets run`` with answers and
judgements → seconds of the stages against those of the bare generator and judge calls; peak memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.project import Project
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from rag_assets.evaluation.gold import Question
from rag_assets.evaluation.gold.file import append_lines

SIZES, QUICK_SIZES = (1_000, 10_000), (20, 40)
CONTEXTS = 2
LONGEST = 200  # characters of a quoted sentence


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``growth``: one per number of questions, over the same documents."""
    sizes = QUICK_SIZES if setting.quick else SIZES
    documents = setting.scratch / "documents"
    documents.mkdir()
    questions = list(_questions(setting.data / "retrieval" / "squad" / "corpus.jsonl", documents, max(sizes)))
    return {"growth": [_row(setting.scratch / str(size), documents, questions[:size]) for size in sizes]}


def _questions(corpus: Path, documents: Path, count: int) -> Iterator[Question]:
    """Write paragraphs as documents, with a question on each."""
    with corpus.open(encoding="utf-8") as lines:
        for place, line in zip(range(count), lines, strict=False):
            paragraph, name = json.loads(line), f"{place:05d}.md"
            title = paragraph.get("title") or "Untitled"
            (documents / name).write_text(f"# {title}\n\n{paragraph['text']}\n", encoding="utf-8")
            first = paragraph["text"].split(". ")[0][:LONGEST]
            # The number tells apart what begins alike: a gold set asks every question once.
            yield Question(str(place), f"Paragraph {place}, {title}: {first}?", (name,), (), first)


def _row(root: Path, documents: Path, questions: Sequence[Question]) -> Row:
    root.mkdir()
    append_lines(root / "gold.jsonl", questions)
    evaluation = {"gold": str(root / "gold.jsonl"), "answers": {"contexts": CONTEXTS}}
    project = Project(root / "project", documents, embedder={"type": "static"}, evaluation=evaluation)
    run = project.run()
    costs = {cost["step"]: cost["seconds"] for cost in project.report()["costs"]}
    took = {stage: run.stages[stage]["seconds"] for stage in ("answers", "judgements", "evaluation")}
    asked, bare = took["answers"] + took["judgements"], costs["answers"] + costs["judgements"]
    return {
        "questions": len(questions),
        **took,
        "bare": bare,
        "ratio": asked / bare,
        "per_question": 1000 * sum(took.values()) / len(questions),
        "peak": run.peak_bytes / 1e9,
    }


BENCHMARK = Benchmark(
    name="questions",
    title="Growth with the gold set",
    text=(
        "SQuAD's paragraphs as documents, embedded with the static model, and a question on the first sentence of "
        "each; the extractive generator over two contexts, and the local judge. The goals: the steps that answer and "
        "judge take at most 1.1 times the bare calls of generator and judge, and memory is bounded."
    ),
    tables=(
        Table(
            "growth",
            (
                Column("questions", "questions", ","),
                Column("answers", "answers s", ".1f"),
                Column("judgements", "judgements s", ".1f"),
                Column("evaluation", "evaluation s", ".1f"),
                Column("bare", "bare generator and judge s", ".1f"),
                Column("ratio", "answers and judgements ÷ bare", ".2f"),
                Column("per_question", "ms per question", ".0f"),
                Column("peak", "peak GB", ".2f"),
            ),
            below=(
                "Answers include the search for contexts, most of what stands beside the calls: see above for why the "
                "goal is missed with a generator that costs so little. Memory grows by what is known of every "
                "question, some tens of kilobytes. The bare seconds are those of the calls alone; loading the "
                "model is part of the first. Evaluation asks three searches per question, a hundred hits deep."
            ),
        ),
    ),
    measure=measure,
)
