"""Recall of the approximate vector index against exact search, measured on every version.

A sample of the table's own vectors asks for its nearest neighbours. The exact answer comes
from one streaming pass over all vectors for all questions at once: searching exactly once per
question would read the table a hundred times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rag_assets.index.schema import read_metadata
from rag_assets.index.search import REFINE
from rag_assets.index.table import translated

if TYPE_CHECKING:
    from lancedb.table import LanceTable
    from numpy.typing import NDArray

K = 10
QUESTIONS = 100
BATCH = 8192  # vectors in memory at once
TOLERANCE = 1e-4  # distances are computed in another order than LanceDB does


def recall_at_10(table: LanceTable) -> float | None:
    """Mean share of the ten nearest neighbours that the index finds, over 100 vectors of the table.

    A hit counts when it is as near as the tenth neighbour, so equal vectors do no harm. None
    when the table has no vector index: search is exact then.
    """
    if not any("vector" in index.columns for index in table.list_indices()):
        return None
    metric = read_metadata(table.schema)["distance"]
    total = table.count_rows()
    offsets = np.random.default_rng(total).choice(total, size=min(QUESTIONS, total), replace=False)
    with translated("measure the recall of the vector index"):
        sample = table.to_lance().take(np.sort(offsets).tolist(), columns=["vector"])
        questions = np.array(sample.column("vector").to_pylist(), dtype=np.float32)
        limits = _kth_distances(table, questions, metric)
        found = []
        for question, limit in zip(questions, limits, strict=True):
            query = table.search(question).distance_type(metric).refine_factor(REFINE).limit(K)
            distances = query.select(["_distance"]).to_arrow().column("_distance").to_numpy()
            found.append((distances <= limit + TOLERANCE).sum() / min(K, total))
    return float(np.mean(found))


def _kth_distances(table: LanceTable, questions: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Distance of the k-th nearest neighbour of each question, by exact search."""
    best = np.full((len(questions), K), np.inf, dtype=np.float32)
    for batch in table.to_lance().to_batches(
        columns=["vector"], batch_size=BATCH, batch_readahead=2, io_buffer_size=32_000_000
    ):
        column = batch.column("vector")
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        merged = np.concatenate([best, _distances(questions, vectors, metric)], axis=1)
        best = np.partition(merged, K - 1, axis=1)[:, :K]
    return np.asarray(best.max(axis=1, where=np.isfinite(best), initial=-np.inf), dtype=np.float32)


def _distances(a: NDArray[np.float32], b: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Distances as LanceDB defines them: l2 is squared, dot is 1 - a·b. Shape (len(a), len(b))."""
    if metric == "cosine":
        a = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12)
        b = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    products = a @ b.T
    if metric == "l2":
        squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :]
        return np.asarray(squares - 2 * products, dtype=np.float32)
    return np.asarray(1 - products, dtype=np.float32)
