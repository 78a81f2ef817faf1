"""Measurements that were already made: a candidate's answers to a gold set never change, so ask once."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rag_assets.evaluation.metrics import with_defaults
from rag_assets.store.digest import fingerprint
from rag_assets.store.objects import ObjectStore

VERSION = 1  # raise when the same hits would be measured differently


class Measurements:
    """Evaluations of one corpus by candidate (its tag), gold set and metrics."""

    def __init__(
        self,
        objects: ObjectStore,
        corpus: str,
        gold_digest: str | None,
        metrics: Sequence[str],
        models: Mapping[str, Any] | None,
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

    def read(self, candidate: str) -> pl.DataFrame | None:
        """The evaluation of a candidate, or None when it was not measured in this way."""
        data = self._objects.find(self._path(candidate))
        return None if data is None else pl.read_parquet(io.BytesIO(data))

    def write(self, candidate: str, questions: pl.DataFrame) -> None:
        """Keep the evaluation of a candidate."""
        buffer = io.BytesIO()
        questions.write_parquet(buffer)
        self._objects.put(self._path(candidate), buffer.getvalue())

    def _path(self, candidate: str) -> str:
        return f"{self._root}/{candidate}-{self.key}.parquet"
