"""The one interface behind which embedding backends stand, and how a batch is cut from texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag_assets.ingest.chunking.tokens import TokenCounter


class Embedder(Protocol):
    """Texts → vectors."""

    @property
    def fingerprint(self) -> str:
        """Key of everything that determines a vector besides the text."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """What the fingerprint covers, readable."""
        ...

    @property
    def window(self) -> int | None:
        """Tokens of content that a text may have; None means any number."""
        ...

    @property
    def at_once(self) -> int:
        """Calls of ``embed`` that together are faster than one after the other: 1 for a model in this process."""
        ...

    def counter(self) -> TokenCounter:
        """Counts tokens as this model sees them, without loading it."""
        ...

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        """Vectors of passages: float32, shape (len(texts), dimension), all finite.

        Raises:
            EmbeddingFailed: the model refused these texts or gave a non-finite vector.
        """
        ...

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries: float32, shape (len(texts), dimension). Longer queries are truncated."""
        ...


def batches(tokens: Sequence[int], budget: int, largest: int = 256) -> Iterator[list[int]]:
    """Positions of texts, grouped by similar length, longest first.

    A batch costs its longest text times its size, padding included; that stays within
    ``budget`` (a single longer text is a batch of its own).
    """
    order = sorted(range(len(tokens)), key=lambda position: -tokens[position])
    start = 0
    while start < len(order):
        size = max(1, min(largest, budget // max(1, tokens[order[start]])))
        yield order[start : start + size]
        start += size
