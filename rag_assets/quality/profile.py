"""A profile: what one stage's table looks like as a whole, in a few kilobytes.

rows in batches → lengths, shares, histograms → ``Profile``. It depends on the rows alone: not on the
suite that judges it, nor on what it is compared with. So it is computed once for each state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from rag_assets.quality.tables import Stage

SAMPLE_ROWS = 1000
BINS_PER_OCTAVE = 4
"""Length bins are this fine: what doubles in length moves four bins on."""

Figure = int | float | str | None


class Profile(BaseModel):
    """Figures and distributions of one stage's table.

    Attributes:
        numbers: by column name, see ``tables``.
        histograms: by what was counted. ``length``: rows by length bin; ``language``: rows by code.
        centroid: mean direction of the vectors; empty for other stages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stage: Stage
    numbers: dict[str, Figure]
    histograms: dict[str, dict[str, int]] = Field(default_factory=dict)
    centroid: tuple[float, ...] = ()

    def row(self, names: Sequence[str], drift: Mapping[str, Figure]) -> dict[str, Figure]:
        """The profile as the one row that suites see: own figures and drift, null where there is none."""
        return {name: drift.get(name, self.numbers.get(name)) for name in names}


def share(part: int, whole: int) -> float | None:
    """A share of 0 to 1; None when there is no whole to take it of."""
    return part / whole if whole else None


def quantiles(name: str, lengths: pl.Series, *points: str) -> dict[str, Figure]:
    """Order statistics as columns: ``p05`` … ``p95``, ``min``, ``max``; None without rows."""
    found: dict[str, Any] = {}
    for point in points:
        at = {"min": 0.0, "max": 1.0}.get(point)
        at = int(point[1:]) / 100 if at is None else at
        found[f"{name}_{point}"] = lengths.quantile(at, interpolation="nearest")
    return {
        column: None if value is None else int(value) if lengths.dtype.is_integer() else float(value)
        for column, value in found.items()
    }


def length_histogram(lengths: pl.Series) -> dict[str, int]:
    """Rows by length bin. Bin n holds lengths from 2^(n/4) on; bin -1 what is empty."""
    bins = (
        pl.when(pl.col("length") > 0)
        .then((pl.col("length").cast(pl.Float64).log(2) * BINS_PER_OCTAVE).floor())
        .otherwise(-1)
        .cast(pl.Int32)
    )
    counted = lengths.alias("length").to_frame().group_by(bins.alias("bin")).len().sort("bin")
    return {str(number): count for number, count in counted.iter_rows()}


def octaves(histogram: Mapping[str, int]) -> dict[int, int]:
    """A length histogram in bins that people read: by their lower bounds 0, 1, 2, 4, 8, …"""
    found: dict[int, int] = {}
    for name, count in histogram.items():
        low = 0 if int(name) < 0 else 2 ** (int(name) // BINS_PER_OCTAVE)
        found[low] = found.get(low, 0) + count
    return found


def smallest(sample: pl.DataFrame, rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The sample with further rows taken into account: those of the smallest hash stay.

    ``by`` begins with a column of content hashes, so that the choice is even, depends on the rows
    alone and not on the order in which they come.
    """
    if sample.height == SAMPLE_ROWS:
        rows = rows.filter(pl.col(by[0]) <= sample[by[0]][-1])
    best = rows.sort(by).head(SAMPLE_ROWS)
    # Copied value by value: a frame that is cut from another one keeps all of its texts in memory.
    copied = pl.DataFrame(best.rows(), schema=sample.schema, orient="row")
    return pl.concat([sample, copied]).sort(by).head(SAMPLE_ROWS)
