"""Means with confidence intervals: overall and per tag, and candidate against published.

One row per question and mode → one row per mode, metric and tag.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from rag_assets.corpus import Mode
from rag_assets.evaluation.bootstrap import interval
from rag_assets.evaluation.evaluate import MODES, SCHEMA

_SAME = 1e-9


class MetricRow(BaseModel):
    """Mean of one metric over ``n`` questions, with its confidence interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode
    metric: str
    tag: str | None
    value: float
    low: float
    high: float
    n: int


class ComparisonRow(BaseModel):
    """One metric of the candidate against the published version, on the ``n`` questions both answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode
    metric: str
    n: int
    improved: int
    same: int
    worse: int
    published: float
    candidate: float
    difference: float
    low: float
    high: float


def metric_names(questions: pl.DataFrame) -> tuple[str, ...]:
    """The metrics that an evaluation holds."""
    return tuple(name for name in questions.columns if name not in SCHEMA)


def summarize(questions: pl.DataFrame, samples: int) -> tuple[MetricRow, ...]:
    """Mean and interval of every metric per mode, first overall, then per tag in alphabetical order."""
    tags = questions["tags"].explode(empty_as_null=True).drop_nulls().unique().sort().to_list()
    return tuple(
        row
        for tag in (None, *tags)
        for mode in MODES
        for row in _means(questions.filter(_slice(mode, tag)), mode, tag, samples)
    )


def pair(candidate: pl.DataFrame, published: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Questions that both evaluations hold, per mode; published values are ``<name>_published``.

    Questions pair when they and their targets are the same. Sorted by mode and question.
    """
    before = published.select("question_key", "mode", *columns)
    return candidate.join(before, on=["question_key", "mode"], suffix="_published").sort(
        "mode", "question_key"
    )


def compare(candidate: pl.DataFrame, published: pl.DataFrame, samples: int) -> tuple[ComparisonRow, ...]:
    """Paired comparison per mode and metric; empty when no question is in both."""
    before = set(metric_names(published))
    names = [name for name in metric_names(candidate) if name in before]
    both = pair(candidate, published, names)
    rows: list[ComparisonRow] = []
    for mode in MODES:
        part = both.filter(pl.col("mode") == mode)
        if part.is_empty() or not names:
            continue
        new = part.select(names).to_numpy()
        old = part.select(f"{name}_published" for name in names).to_numpy()
        low, high = interval(new - old, samples)
        for column, name in enumerate(names):
            delta = new[:, column] - old[:, column]
            rows.append(
                ComparisonRow(
                    mode=mode,
                    metric=name,
                    n=len(part),
                    improved=int(np.sum(delta > _SAME)),
                    same=int(np.sum(np.abs(delta) <= _SAME)),
                    worse=int(np.sum(delta < -_SAME)),
                    published=float(old[:, column].mean()),
                    candidate=float(new[:, column].mean()),
                    difference=float(delta.mean()),
                    low=float(low[column]),
                    high=float(high[column]),
                )
            )
    return tuple(rows)


def _slice(mode: Mode, tag: str | None) -> pl.Expr:
    chosen = pl.col("mode") == mode
    return chosen if tag is None else chosen & pl.col("tags").list.contains(tag)


def _means(part: pl.DataFrame, mode: Mode, tag: str | None, samples: int) -> list[MetricRow]:
    if part.is_empty():
        return []
    names = metric_names(part)
    values = part.select(names).to_numpy()
    low, high = interval(values, samples)
    return [
        MetricRow(
            mode=mode,
            metric=name,
            tag=tag,
            value=float(values[:, column].mean()),
            low=float(low[column]),
            high=float(high[column]),
            n=len(part),
        )
        for column, name in enumerate(names)
    ]
