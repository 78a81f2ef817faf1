"""Sentence vectors of the default model of the package, whatever the corpus is embedded with.

A judge that changed with the corpus's model could not compare two models. With a store, a sentence that was
ever embedded is not embedded again: the judge finds what the generator left, the next candidate what both did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rag_assets import corpus
from rag_assets.ingest.chunking.tokens import TokenCounter
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.stage import embed_missing, embedding_store
from rag_assets.store.digest import digest
from rag_assets.store.objects import ObjectStore

SHARD = 2048  # sentences per shard: what a crash can cost at most


class SentenceVectors:
    """Texts → vectors of length 1. Loads the model when the first text has to be embedded.

    Args:
        objects: keeps the vectors; None keeps none.
    """

    def __init__(self, objects: ObjectStore | None = None) -> None:
        self._embedder: Embedder = open_embedder(corpus.Embedder())
        self._store = None if objects is None else embedding_store(objects, self._embedder)
        self.fingerprint = self._embedder.fingerprint
        self.model = str(self._embedder.about["model"])

    def of(self, texts: Iterable[str]) -> Mapping[str, NDArray[np.float32]]:
        """The vector of each distinct text; what exceeds the model's window is left out of it.

        A text that the model refuses has a vector of zeros: it is near to nothing.
        """
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        if self._store is None:
            vectors = self._embedder.embed(distinct, self._counter.count(distinct))
        else:
            vectors = self._kept(distinct)
        return dict(zip(distinct, vectors, strict=True))

    def _kept(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert self._store is not None
        wanted = pl.DataFrame({"key": [digest(text) for text in texts], "text": texts})
        missing = self._store.missing(wanted["key"]).to_frame()
        fresh = wanted.join(missing, on="key", how="semi", maintain_order="left")
        if fresh.height:
            tokens = pl.Series("tokens", self._counter.count(fresh["text"].to_list()), dtype=pl.Int64)
            embed_missing(self._store, self._embedder, [fresh.with_columns(tokens)], SHARD)
            self._store.maintain()
        found = self._store.collect(wanted["key"], ("vector",)).drop_nulls()
        width = len(found["vector"][0]) if found.height else 1
        matrix = found["vector"].list.to_array(width).to_numpy()
        rows = dict(zip(found["key"], matrix, strict=True))
        nothing = np.zeros(width, np.float32)
        return np.stack([rows.get(key, nothing) for key in wanted["key"]])

    @cached_property
    def _counter(self) -> TokenCounter:
        return self._embedder.counter()
