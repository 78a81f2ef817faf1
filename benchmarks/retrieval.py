"""Retrieval quality on public question sets, through the real pipeline with the default model.

BEIR folder → Markdown files and a gold set → ``rag-assets run`` → the evaluation report's figures.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.project import Project
from benchmarks.table import Benchmark, Column, Row, Setting, Table

SETS = ("scifact", "squad", "anthropic-docs", "anthropic-code", "clapnq", "pubmedqa")
QUICK_SETS = ("anthropic-docs",)
METRICS = ("ndcg@10", "recall@5", "mrr")
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def write_beir(
    source: Path, documents: Path, gold: Path, split: str = "test", limit: int | None = None
) -> int:
    """Write a BEIR folder as Markdown files and a gold set; returns the number of questions.

    Args:
        source: folder with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.
        documents: where ``<id>.md`` files go.
        gold: the gold set to write.
        split: which judgements; only those above zero count, of questions that can be answered.
        limit: this many questions at most.
    """
    documents.mkdir(parents=True)
    names: dict[str, str] = {}
    for document in _lines(source / "corpus.jsonl"):
        name = f"{UNSAFE.sub('_', document['_id'])}.md"
        names[document["_id"]] = name
        title = document.get("title") or ""
        text = f"# {title}\n\n{document['text']}\n" if title else f"{document['text']}\n"
        (documents / name).write_text(text, encoding="utf-8")
    assert len(set(names.values())) == len(names), "two ids give one file name"
    relevant: dict[str, list[str]] = {}
    for line in (source / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document_id, score = line.split("\t")
        if int(score) > 0:
            relevant.setdefault(query, []).append(names[document_id])
    questions = _distinct(
        query
        for query in _lines(source / "queries.jsonl")
        if query["_id"] in relevant and query.get("metadata", {}).get("answerable", True)
    )
    chosen = questions[:limit]
    gold.write_text(
        "".join(
            json.dumps({"id": query["_id"], "question": query["text"], "documents": relevant[query["_id"]]})
            + "\n"
            for query in chosen
        ),
        encoding="utf-8",
    )
    return len(chosen)


def figures(report: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """(mode, metric) → mean over all questions, from an evaluation report."""
    return {(row["mode"], row["metric"]): row["value"] for row in report["metrics"] if row["tag"] is None}


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``quality``: one per set and search mode."""
    rows: list[Row] = []
    for name in QUICK_SETS if setting.quick else SETS:
        root = setting.scratch / name
        questions = write_beir(
            setting.data / "retrieval" / name,
            root / "documents",
            root / "gold.jsonl",
            limit=10 if setting.quick else None,
        )
        evaluation = {"gold": str(root / "gold.jsonl")}
        project = Project(root / "project", root / "documents", evaluation=evaluation)
        run = project.run()
        found = figures(project.report())
        for mode in ("vector", "text", "hybrid"):
            first = mode == "vector"
            rows.append(
                {
                    "set": name if first else "",
                    "documents": run.stages["documents"]["new"] if first else "",
                    "chunks": run.stages["candidate"]["rows"] if first else "",
                    "questions": questions if first else "",
                    "mode": mode,
                    **{metric: found[mode, metric] for metric in METRICS},
                }
            )
        shutil.rmtree(root)
    return {"quality": rows}


def _distinct(queries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of questions that differ in nothing but case and space: a gold set has each once."""
    found: dict[str, dict[str, Any]] = {}
    for query in queries:
        found.setdefault(" ".join(query["text"].split()).casefold(), query)
    return list(found.values())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


BENCHMARK = Benchmark(
    name="retrieval",
    title="Retrieval quality",
    text=(
        "Public question sets as ordinary corpora: every document becomes a Markdown file, every judged question a "
        "line of the gold set, and `rag-assets run` with the default model and default settings does the rest. "
        "Nothing was tuned on these questions. For orientation: SciFact test, nDCG@10, this model published 0.645, "
        "BM25 published 0.679; SQuAD, BM25 0.852."
    ),
    tables=(
        Table(
            "quality",
            (
                Column("set", "set"),
                Column("documents", "documents", ","),
                Column("chunks", "chunks", ","),
                Column("questions", "questions", ","),
                Column("mode", "search"),
                Column("ndcg@10", "nDCG@10", ".3f"),
                Column("recall@5", "recall@5", ".3f"),
                Column("mrr", "MRR", ".3f"),
            ),
        ),
    ),
    measure=measure,
)
