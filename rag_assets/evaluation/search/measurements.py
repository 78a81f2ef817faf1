"""Measurements that were already made: a candidate's answers to a gold set never change, so ask once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from rag_assets.evaluation.search.measured import WIDE, Measured
from rag_assets.evaluation.search.metrics import with_defaults
from rag_assets.store.digest import fingerprint
from rag_assets.store.files import read_parquet, scan_parquet, write_batches
from rag_assets.store.objects import ObjectLost, ObjectStore

VERSION = 1  # raise when the same hits would be measured differently


class Measurements:
    """Evaluations of one corpus by candidate (its tag), gold set and metrics."""

    def __init__(
        self,
        objects: ObjectStore,
        corpus: str,
        gold_digest: str | None,
        metrics: Sequence[str],
        models: Sequence[Any] | None,
    ) -> None:
        self._objects = objects
        self._root = f"corpora/{corpus}/measurements"
        self.key = fingerprint(
            {
                "version": VERSION,
                "gold": gold_digest,
                "metrics": sorted(with_defaults(metrics)),
                "models": models,
            }
        )

    def read(self, candidate: str) -> Measured | None:
        """The evaluation of a candidate, or None when it was not measured in this way."""
        path = self._path(candidate)
        try:
            return Measured(
                read_parquet(self._objects, path, pl.exclude(WIDE)), scan_parquet(self._objects, path)
            )
        except ObjectLost:  # asked again
            return None

    def write(self, candidate: str, batches: Iterable[pl.DataFrame]) -> Measured:
        """Keep the evaluation of a candidate."""
        write_batches(self._objects, self._path(candidate), batches)
        written = self.read(candidate)
        assert written is not None, "it was just written"
        return written

    def _path(self, candidate: str) -> str:
        return f"{self._root}/{candidate}-{self.key}.parquet"
