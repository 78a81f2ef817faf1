"""Means with confidence intervals: overall and per tag, and candidate against published.

One row per question and mode → one row per mode, metric and tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from rag_assets.corpus import Mode
from rag_assets.evaluation.judging.answered import COLUMNS
from rag_assets.evaluation.search.bootstrap import interval
from rag_assets.evaluation.search.evaluate import MODES, SCHEMA

_SAME = 1e-9
SLICES = "slices"
"""Column with the slices of a question (``slices.with_slices``)."""


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
    return tuple(
        name for name in questions.columns if name not in SCHEMA and name not in COLUMNS and name != SLICES
    )


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
    deltas = both.with_columns(pl.col(name) - pl.col(f"{name}_published") for name in names)
    rows: list[ComparisonRow] = []
    for mode in MODES:
        chosen = pl.col("mode") == mode
        for group, delta in _alike(deltas.filter(chosen), names):
            low, high = interval(delta, samples)
            part = both.filter(chosen & deltas[group[0]].is_not_null())
            for column, name in enumerate(group):
                rows.append(
                    ComparisonRow(
                        mode=mode,
                        metric=name,
                        n=len(delta),
                        improved=int(np.sum(delta[:, column] > _SAME)),
                        same=int(np.sum(np.abs(delta[:, column]) <= _SAME)),
                        worse=int(np.sum(delta[:, column] < -_SAME)),
                        published=float(part[f"{name}_published"].to_numpy().mean()),
                        candidate=float(part[name].to_numpy().mean()),
                        difference=float(delta[:, column].mean()),
                        low=float(low[column]),
                        high=float(high[column]),
                    )
                )
    return tuple(rows)


def _slice(mode: Mode, tag: str | None) -> pl.Expr:
    chosen = pl.col("mode") == mode
    return chosen if tag is None else chosen & pl.col("tags").list.contains(tag)


def _means(part: pl.DataFrame, mode: Mode, tag: str | None, samples: int) -> list[MetricRow]:
    rows = []
    for group, values in _alike(part, metric_names(part)):
        low, high = interval(values, samples)
        rows += [
            MetricRow(
                mode=mode,
                metric=name,
                tag=tag,
                value=float(values[:, column].mean()),
                low=float(low[column]),
                high=float(high[column]),
                n=len(values),
            )
            for column, name in enumerate(group)
        ]
    return rows


def _alike(
    frame: pl.DataFrame, names: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.float64]]]:
    """Columns that are null in the same rows, and their values without these; none for columns without values."""
    groups: dict[bytes, list[str]] = {}
    for name in names:
        present = frame[name].is_not_null()
        if present.any():
            groups.setdefault(present.to_numpy().tobytes(), []).append(name)
    for group in groups.values():
        yield tuple(group), frame.select(group).drop_nulls().to_numpy()
