"""The evaluation of a version: figures of all questions in memory, texts of those that are shown.

Parquet file with a row per question and mode → narrow columns, all of them; wide ones by question id.
Ten thousand questions with what search found and what an answer rests on would fill gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

WIDE = ("hits", "contexts", "scores")
KEYS = ("question_id", "mode")
SHOWN_MODE = "hybrid"


@dataclass(frozen=True)
class Measured:
    """One evaluation.

    Attributes:
        figures: one row per question and mode, without ``WIDE``.
        rows: the same with them, read when they are wanted.
    """

    figures: pl.DataFrame
    rows: pl.LazyFrame

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Measured:
        """An evaluation that is small enough to be in memory."""
        return cls(rows.drop(WIDE, strict=False), rows.lazy())

    def texts(self, question_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Wide columns of some questions, as hybrid search found them: column → value, by question id."""
        wanted = list(question_ids)
        wide = [name for name in self.rows.collect_schema().names() if name in WIDE]
        found = (
            self.rows.filter(pl.col("mode") == SHOWN_MODE, pl.col("question_id").is_in(wanted))
            .select("question_id", *wide)
            .collect(engine="streaming")
        )
        return {row.pop("question_id"): row for row in found.iter_rows(named=True)}

    def whole(self) -> pl.LazyFrame:
        """The figures with the wide columns beside them, of the questions that have figures."""
        written = self.rows.collect_schema().names()
        wide = self.rows.select(*KEYS, *(name for name in written if name in WIDE))
        joined = wide.join(self.figures.lazy(), on=KEYS, how="inner", maintain_order="left")
        return joined.select(*written, *(name for name in self.figures.columns if name not in written))
