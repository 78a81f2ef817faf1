"""CI/CD for a RAG index: raw documents to an evaluated, published LanceDB version.

``open_published`` and ``AnswerCache`` are what a service needs; everything else is run by Dagster or
``rag-assets``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_assets.invalidation.cache import AnswerCache
    from rag_assets.publication.reader import PublishedIndex

__all__ = ["AnswerCache", "open_published"]


def open_published(
    corpus: str, store: str | None = None, *, poll_seconds: float | None = None
) -> PublishedIndex:
    """Open the published version of a corpus; see ``rag_assets.publication.reader.open_published``."""
    from rag_assets.publication import reader  # loads LanceDB, which not every import of this package needs

    return reader.open_published(corpus, store, poll_seconds=poll_seconds)


def __getattr__(name: str) -> Any:
    """``AnswerCache``, loaded when it is asked for."""
    if name == "AnswerCache":
        from rag_assets.invalidation.cache import AnswerCache

        return AnswerCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
