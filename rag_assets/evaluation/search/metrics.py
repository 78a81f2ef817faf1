"""Retrieval metrics from the ranks of targets.

Ranks per question → recall@k, success@k, nDCG@k, MRR per question (binary relevance).

With documents as targets these are trec_eval's definitions, and the tests hold them against
trec_eval itself. They are computed here, not by trec_eval, because there every rank holds one
target at most, while one chunk can hold several quoted passages:

- recall@k: share of the targets found at rank k or better.
- success@k: 1 if any target is found at rank k or better.
- mrr: 1 / rank of the first target found, 0 if none is found within the search depth.
- ndcg@k: gain 1/log2(rank + 1) per target found, divided by the best possible sum; targets that
  share a rank take the following free ranks, so that the value never exceeds 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rag_assets.corpus import ANSWER_METRICS

DEFAULT_METRICS: tuple[str, ...] = (
    "recall@1",
    "recall@3",
    "recall@5",
    "recall@10",
    "success@5",
    "ndcg@10",
    "mrr",
)
_Array = npt.NDArray[Any]
_NAME = re.compile(r"^(?P<kind>recall|success|ndcg)@(?P<k>[1-9][0-9]*)$")


def parse_metric(name: str) -> tuple[str, int | None]:
    """Kind and cut-off of a metric's name: ``recall@5`` → ``("recall", 5)``, ``mrr`` → ``("mrr", None)``.

    Raises:
        ValueError: for any other name.
    """
    if name == "mrr":
        return "mrr", None
    match = _NAME.match(name)
    if match is None:
        raise ValueError(f"metric {name!r}: allowed are recall@k, success@k, ndcg@k and mrr")
    return match["kind"], int(match["k"])


def title_of(metric: str) -> str:
    """A metric's name as people write it: ``ndcg@10`` → ``nDCG@10``."""
    if metric in ANSWER_METRICS:
        return metric.replace("_", " ").capitalize()
    kind, at, k = metric.partition("@")
    names = {"recall": "Recall", "success": "Success", "ndcg": "nDCG", "mrr": "MRR"}
    return f"{names[kind]}{at}{k}"


def with_defaults(names: Iterable[str]) -> tuple[str, ...]:
    """The default metrics and any others that are named, each once."""
    return tuple(dict.fromkeys((*DEFAULT_METRICS, *names)))


def compute(ranks: pl.Series, names: Sequence[str]) -> pl.DataFrame:
    """Metrics of many questions at once.

    Args:
        ranks: one list per question with the rank of each target, null for one that was not found.
        names: metrics to compute.

    Returns:
        One row per question, one Float64 column per metric; NaN for a question without targets.
    """
    lists = ranks.cast(pl.List(pl.Int64))
    totals = lists.list.len().to_numpy().astype(np.int64)
    found = (
        pl.DataFrame({"row": np.arange(len(lists)), "rank": lists})
        .explode("rank", empty_as_null=True)
        .drop_nulls("rank")
        .sort("row", "rank")
        .with_columns(nth=pl.int_range(pl.len()).over("row"))
        .with_columns(slot=(pl.col("rank") - pl.col("nth")).cum_max().over("row") + pl.col("nth"))
    )
    rows, rank, slot = (found[name].to_numpy() for name in ("row", "rank", "slot"))
    columns = {name: _metric(name, totals, rows, rank, slot) for name in names}
    return pl.DataFrame(columns, schema=dict.fromkeys(names, pl.Float64))


def _metric(name: str, totals: _Array, rows: _Array, rank: _Array, slot: _Array) -> _Array:
    kind, k = parse_metric(name)
    size = len(totals)
    if kind == "mrr":
        best = np.zeros(size)
        np.maximum.at(best, rows, 1.0 / rank)
        return np.asarray(np.where(totals > 0, best, np.nan))
    assert k is not None
    if kind == "ndcg":
        counted = slot <= k
        gained = np.bincount(rows[counted], weights=1.0 / np.log2(slot[counted] + 1.0), minlength=size)
        ideal = np.concatenate(([np.nan], np.cumsum(1.0 / np.log2(np.arange(1, k + 1) + 1.0))))
        return np.asarray(gained / ideal[np.minimum(totals, k)])
    seen = np.bincount(rows[rank <= k], minlength=size).astype(float)
    if kind == "success":
        return np.asarray(np.where(totals > 0, (seen > 0).astype(float), np.nan))
    return np.asarray(np.divide(seen, totals, out=np.full(size, np.nan), where=totals > 0))
