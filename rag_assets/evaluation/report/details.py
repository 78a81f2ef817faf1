"""Single questions in a report: what was wanted and found, gained and lost.

evaluation of the candidate (+ of the published version) → the questions that are worth a look.
"""

from __future__ import annotations

import polars as pl
from pydantic import Field

from rag_assets.corpus import Mode
from rag_assets.evaluation.gate.value import Value
from rag_assets.evaluation.search.measured import Measured
from rag_assets.evaluation.search.summary import metric_names, pair

HEADLINE_MODE: Mode = "hybrid"
"""Readers search hybrid unless they ask otherwise: the headline figures are those of this mode."""
DECIDING_METRIC = "ndcg@10"
"""Ranks questions from worst to best and counts them as improved or worse: it sees every rank up to ten."""
SHOWN_CHANGES = 200


class Wanted(Value):
    """A target and the rank at which it was found; None when it was not."""

    kind: str
    text: str
    rank: int | None


class FoundHit(Value):
    """One of the best hits of a question."""

    document_id: str
    chunk_id: str
    heading: str
    score: float
    text: str
    relevant: bool


class QuestionDetail(Value):
    """A question that went badly: what was wanted and what was found instead."""

    question_id: str
    question: str
    tags: tuple[str, ...]
    mode: Mode
    value: float = Field(description="DECIDING_METRIC of this question.")
    published: float | None = Field(description="The same in the published version, if it was asked there.")
    first_rank: int | None
    targets: tuple[Wanted, ...]
    hits: tuple[FoundHit, ...]


class QuestionChange(Value):
    """A question whose DECIDING_METRIC differs from the published version's."""

    question_id: str
    question: str
    published: float
    candidate: float


def changed_questions(questions: pl.DataFrame, before: pl.DataFrame) -> tuple[QuestionChange, ...]:
    """The questions whose deciding metric moved most against the published version, worst first."""
    if DECIDING_METRIC not in metric_names(before):
        return ()
    both = pair(questions, before, [DECIDING_METRIC]).filter(pl.col("mode") == HEADLINE_MODE)
    rows = (
        both.select(
            "question_id",
            "question",
            published=pl.col(f"{DECIDING_METRIC}_published"),
            candidate=pl.col(DECIDING_METRIC),
        )
        .with_columns(size=(pl.col("candidate") - pl.col("published")).abs().round(9))
        .filter(pl.col("size") > 0)
        .sort(["size", "question_id"], descending=[True, False])
        .head(SHOWN_CHANGES)
        .drop("size")
    )
    return tuple(QuestionChange(**row) for row in rows.iter_rows(named=True))


def worst_questions(
    measured: Measured, before: pl.DataFrame | None, count: int
) -> tuple[QuestionDetail, ...]:
    """The ``count`` questions with the lowest deciding metric, with what was wanted and found."""
    rows = measured.figures.filter((pl.col("mode") == HEADLINE_MODE) & (pl.col(DECIDING_METRIC) < 1))
    if before is not None and DECIDING_METRIC in metric_names(before):
        earlier = before.select("question_key", "mode", pl.col(DECIDING_METRIC).alias("published"))
        rows = rows.join(earlier, on=["question_key", "mode"], how="left")
    else:
        rows = rows.with_columns(published=pl.lit(None, pl.Float64))
    rows = rows.sort(
        [DECIDING_METRIC, "first_rank", "question_id"], descending=[False, True, False], nulls_last=False
    ).head(count)
    texts = measured.texts(rows["question_id"])
    return tuple(
        QuestionDetail(
            question_id=row["question_id"],
            question=row["question"],
            tags=tuple(row["tags"]),
            mode=row["mode"],
            value=row[DECIDING_METRIC],
            published=row["published"],
            first_rank=row["first_rank"],
            targets=tuple(Wanted(**target) for target in row["targets"]),
            hits=tuple(FoundHit(**hit) for hit in texts[row["question_id"]]["hits"]),
        )
        for row in rows.iter_rows(named=True)
    )
