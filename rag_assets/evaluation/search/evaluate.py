"""Ask every gold question in every search mode and measure what comes back.

Questions + search function → one row per question and mode. Only the best few hits are kept, so memory
does not grow with the search depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

import polars as pl

from rag_assets.corpus import Mode
from rag_assets.evaluation.gold import Question
from rag_assets.evaluation.search.metrics import compute, parse_metric, with_defaults
from rag_assets.evaluation.search.relevance import find_targets
from rag_assets.evaluation.search.search import Hit, Search

MODES: tuple[Mode, ...] = get_args(Mode)
KEPT_HITS = 5
SNIPPET_CHARACTERS = 400

SCHEMA: dict[str, pl.DataType] = {
    "question_id": pl.String(),
    "question_key": pl.String(),
    "question": pl.String(),
    "tags": pl.List(pl.String()),
    "mode": pl.String(),
    "targets": pl.List(pl.Struct({"kind": pl.String(), "text": pl.String(), "rank": pl.Int64()})),
    "first_rank": pl.Int64(),
    "hits": pl.List(
        pl.Struct(
            {
                "document_id": pl.String(),
                "chunk_id": pl.String(),
                "heading": pl.String(),
                "score": pl.Float64(),
                "text": pl.String(),
                "relevant": pl.Boolean(),
            }
        )
    ),
}
"""Columns of an evaluation before the metrics; each metric is one more Float64 column."""


def no_questions(metrics: Sequence[str] = ()) -> pl.DataFrame:
    """The evaluation of a corpus without a gold set: all columns, no row."""
    return pl.DataFrame(schema=SCHEMA | dict.fromkeys(with_defaults(metrics), pl.Float64()))


def evaluate(
    questions: Sequence[Question], search: Search, *, metrics: Sequence[str] = (), depth: int = 100
) -> pl.DataFrame:
    """Measure a search function.

    Args:
        questions: a batch of gold questions; those that no document answers are left out, since search has
            nothing to find.
        search: ranks chunks for many questions at once.
        metrics: metrics to compute beside the default ones, such as those that the gate names.
        depth: chunks to ask for per question; raised to the largest cut-off among the metrics.

    Returns:
        One row per question and mode: ``SCHEMA`` and one column per metric. ``first_rank`` is the best
        rank of any target, null when none was found; ``hits`` are the best ``KEPT_HITS`` ones.
    """
    names = with_defaults(metrics)
    depth = max([depth, *(k for _, k in map(parse_metric, names) if k is not None)])
    asked = [question for question in questions if question.answerable]
    rows = [row for mode in MODES if asked for row in _ask(asked, search, mode, depth)]
    frame = pl.DataFrame(rows, schema=SCHEMA)
    return frame.hstack(compute(frame["targets"].list.eval(pl.element().struct.field("rank")), names))


def _ask(questions: Sequence[Question], search: Search, mode: Mode, depth: int) -> Iterator[dict[str, Any]]:
    found = search([question.question for question in questions], mode, depth)
    for question, hits in zip(questions, found, strict=True):
        findings = find_targets(question, hits)
        targets = [("document", document) for document in question.documents]
        targets += [("passage", passage) for passage in question.passages]
        yield {
            "question_id": question.id,
            "question_key": question.key,
            "question": question.question,
            "tags": list(question.tags),
            "mode": mode,
            "targets": [
                {"kind": kind, "text": text, "rank": rank}
                for (kind, text), rank in zip(targets, findings.ranks, strict=True)
            ],
            "first_rank": min((rank for rank in findings.ranks if rank is not None), default=None),
            "hits": [
                _kept(hit, position in findings.relevant) for position, hit in enumerate(hits[:KEPT_HITS])
            ],
        }


def _kept(hit: Hit, relevant: bool) -> dict[str, Any]:
    snippet = hit.text[:SNIPPET_CHARACTERS]
    return {
        "document_id": hit.document_id,
        "chunk_id": hit.chunk_id,
        "heading": " › ".join(hit.heading_path),
        "score": hit.score,
        "text": snippet if len(hit.text) <= SNIPPET_CHARACTERS else f"{snippet.rstrip()}…",
        "relevant": relevant,
    }
