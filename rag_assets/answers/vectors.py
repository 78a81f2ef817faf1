"""Sentence vectors of the default model of the package, whatever the corpus is embedded with.

A judge that changed with the corpus's model could not compare two models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag_assets import corpus
from rag_assets.chunking.tokens import TokenCounter
from rag_assets.embedding.embedder import Embedder
from rag_assets.embedding.open import open_embedder


class SentenceVectors:
    """Texts → vectors of length 1. Loads the model at the first use."""

    def __init__(self) -> None:
        self._embedder: Embedder = open_embedder(corpus.Embedder())
        self.fingerprint = self._embedder.fingerprint
        self.model = str(self._embedder.about["model"])

    def of(self, texts: Iterable[str]) -> Mapping[str, NDArray[np.float32]]:
        """The vector of each distinct text; what exceeds the model's window is left out of it."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        vectors = self._embedder.embed(distinct, self._counter.count(distinct))
        return dict(zip(distinct, vectors, strict=True))

    @cached_property
    def _counter(self) -> TokenCounter:
        return self._embedder.counter()
