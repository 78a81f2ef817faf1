"""Profile of the vectors: chunks with their vectors, in batches → figures, mean direction, sample."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rag_assets.quality.profile import Profile, quantiles, share, smallest

SAMPLE = pl.Schema(
    {
        "key": pl.String(),
        "norm": pl.Float64(),
        "non_finite": pl.UInt32(),
        "dimension": pl.UInt32(),
        "reason": pl.String(),
    }
)


class _Vectors:
    """What is kept of the vectors seen so far: 20 bytes of each."""

    def __init__(self) -> None:
        self.dimension: int | None = None
        self.others = self.non_finite = self.zero = 0
        self.norms = [pl.Series(dtype=pl.Float32)]
        self.seen: list[pl.DataFrame] = [pl.DataFrame(schema={"text": pl.Int64, "vector": pl.UInt64})]
        self._mean: NDArray[np.float64] | None = None
        self._directions = 0
        self._factors: NDArray[np.uint64] | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows with vectors (key, vector) into account."""
        if self.dimension is None and rows.height:
            self.dimension = len(rows["vector"][0])
            self._mean = np.zeros(self.dimension)
            random = np.random.default_rng(0).integers(0, 2**63, self.dimension, dtype=np.uint64)
            self._factors = random * np.uint64(2) + np.uint64(1)
        regular = rows.filter(pl.col("vector").list.len() == (self.dimension or 0))
        self.others += rows.height - regular.height
        if regular.is_empty() or self._mean is None or self._factors is None:
            return
        matrix = regular["vector"].explode().to_numpy().astype(np.float32).reshape(regular.height, -1)
        finite = np.isfinite(matrix).all(axis=1)
        self.non_finite += int((~finite).sum())
        norms = np.linalg.norm(matrix[finite].astype(np.float64), axis=1)
        directed = norms > 0
        self.zero += int((~directed).sum())
        self.norms.append(pl.Series(norms[directed], dtype=pl.Float32))
        self._mean += (matrix[finite][directed] / norms[directed, None]).sum(axis=0)
        self._directions += int(directed.sum())
        # Equal bits, equal hash; which hash does not matter, for none is kept beyond this profile.
        bits = (matrix.view(np.uint32).astype(np.uint64) * self._factors).sum(axis=1, dtype=np.uint64)
        text = regular["key"].str.slice(0, 15).str.to_integer(base=16)
        self.seen.append(pl.DataFrame({"text": text, "vector": pl.Series(bits, dtype=pl.UInt64)}))

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of all directions; empty without one."""
        return np.zeros(0) if self._mean is None or not self._directions else self._mean / self._directions


def profile_embeddings(batches: Iterable[pl.DataFrame]) -> tuple[Profile, pl.DataFrame]:
    """Profile the vectors of a snapshot's chunks.

    Args:
        batches: key (of the embedded text), vector and reason, one row per chunk. Neither vector nor
            reason: the vector store has no entry. A text that stands in many chunks counts as often.
    """
    chunks = missing = poisoned = 0
    vectors = _Vectors()
    sample = pl.DataFrame(schema=SAMPLE)
    for batch in batches:
        chunks += batch.height
        poisoned += batch["reason"].count()
        missing += batch.filter(pl.col("vector").is_null() & pl.col("reason").is_null()).height
        vectors.add(batch.drop_nulls("vector"))
        fresh = batch.unique("key").join(sample, on="key", how="anti")
        sample = smallest(sample, _shown(fresh), ("key",))
    distinct = pl.concat(vectors.seen).unique("text")
    mean = vectors.mean
    return Profile(
        stage="embeddings",
        numbers={
            "chunks": chunks,
            "missing_vectors": missing,
            "poisoned": poisoned,
            "poisoned_share": share(poisoned, chunks),
            "dimension": vectors.dimension,
            "other_dimensions": vectors.others,
            "non_finite_vectors": vectors.non_finite,
            "zero_vectors": vectors.zero,
            **quantiles("norm", pl.concat(vectors.norms), "min", "p50", "max"),
            "repeated_vector_share": share(int(distinct["vector"].is_duplicated().sum()), distinct.height),
            "concentration": float(np.linalg.norm(mean)) if mean.size else None,
        },
        centroid=tuple(round(float(value), 7) for value in mean),
    ), sample


def _shown(rows: pl.DataFrame) -> pl.DataFrame:
    value = pl.element()
    return rows.select(
        "key",
        norm=pl.col("vector").list.eval(value.cast(pl.Float64).pow(2)).list.sum().sqrt(),
        non_finite=pl.col("vector").list.eval(~value.is_finite()).list.sum().cast(pl.UInt32),
        dimension=pl.col("vector").list.len(),
        reason="reason",
    )
