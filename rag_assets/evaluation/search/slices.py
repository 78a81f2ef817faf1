"""Parts of the gold set in which a candidate may regress unseen by the mean: tags, sources, document types, tenants.

evaluation of candidate and published version → one row per slice and metric, with what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl
from pydantic import BaseModel, ConfigDict

from rag_assets.corpus import ANSWER_METRICS
from rag_assets.evaluation.search.certainty import Certainty, certainty
from rag_assets.evaluation.search.metrics import title_of
from rag_assets.evaluation.search.summary import pair

MODE = "hybrid"


class SliceRow(BaseModel):
    """One metric in one slice; published and what follows are None where nothing can be compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slice: str
    """``tag: rent``, ``source: handbook/``, ``type: pdf``, ``tenant: acme``."""
    metric: str
    n: int
    candidate: float
    published: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    certainty: Certainty | None = None


def with_slices(questions: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """Add the column ``slices``: the names of the slices that a question belongs to.

    Args:
        questions: an evaluation.
        documents: document_id and slices (list) of documents; a question has those of what it wants.
    """
    wanted = questions.select(
        pl.int_range(pl.len()).alias("row"),
        pl.col("targets")
        .list.eval(
            pl.when(pl.element().struct.field("kind") == "document").then(pl.element().struct.field("text"))
        )
        .alias("document_id"),
    )
    found = (
        wanted.explode("document_id", empty_as_null=True)
        .join(documents, on="document_id", how="left")
        .group_by("row", maintain_order=True)
        .agg(pl.col("slices").explode(empty_as_null=True).drop_nulls().unique(maintain_order=True))
    )
    tags = questions["tags"].list.eval(pl.lit("tag: ") + pl.element())
    return questions.with_columns(slices=pl.concat_list(tags.fill_null([]), found.sort("row")["slices"]))


def slice_rows(
    candidate: pl.DataFrame, published: pl.DataFrame | None, metrics: Iterable[str], samples: int
) -> tuple[SliceRow, ...]:
    """Every metric in every slice, in the order of the slices' names.

    Args:
        candidate: its evaluation with ``slices``.
        published: the published version's evaluation; slices are the candidate's.
        metrics: those that count: of hybrid search, or of answers.
        samples: resamples of the intervals.
    """
    rows = candidate.filter(pl.col("mode") == MODE)
    names = rows["slices"].explode(empty_as_null=True).drop_nulls().unique().sort().to_list()
    return tuple(
        row
        for name in names
        for metric in metrics
        if metric in rows.columns
        for row in _row(rows.filter(pl.col("slices").list.contains(name)), published, name, metric, samples)
    )


def regressions(rows: Sequence[SliceRow]) -> tuple[SliceRow, ...]:
    """Slices that are worse beyond noise."""
    return tuple(row for row in rows if row.certainty == "worse")


def describe(row: SliceRow) -> str:
    """A compared slice in one sentence."""
    return (
        f"{row.slice}: {title_of(row.metric)} fell from {row.published:.3f} to {row.candidate:.3f} on {row.n} "
        f"questions (difference between {row.low:+.3f} and {row.high:+.3f})"
    )


def _row(
    part: pl.DataFrame, published: pl.DataFrame | None, name: str, metric: str, samples: int
) -> list[SliceRow]:
    measured = part.filter(pl.col(metric).is_not_null())
    if measured.is_empty():
        return []
    value = float(measured[metric].to_numpy().mean())
    if published is None or metric not in published.columns:
        return [SliceRow(slice=name, metric=metric, n=measured.height, candidate=value)]
    both = pair(measured, published, [metric]).drop_nulls(f"{metric}_published")
    if both.is_empty():
        return [SliceRow(slice=name, metric=metric, n=measured.height, candidate=value)]
    new, old = both[metric].to_numpy(), both[f"{metric}_published"].to_numpy()
    says, low, high = certainty(new - old, samples)
    return [
        SliceRow(
            slice=name,
            metric=metric,
            n=both.height,
            candidate=float(new.mean()),
            published=float(old.mean()),
            difference=float((new - old).mean()),
            low=low,
            high=high,
            certainty=says,
        )
    ]


def counted_metrics(columns: Sequence[str], deciding: str) -> tuple[str, ...]:
    """Metrics that slices are watched in: the deciding one of search, and those of answers that were measured."""
    return (deciding, *(metric for metric in ANSWER_METRICS if metric in columns))
