"""``open_embedder`` under the name that services import; see ``rag_assets.ingest.embedding.open``."""

from __future__ import annotations

from rag_assets.ingest.embedding.open import open_embedder

__all__ = ["open_embedder"]
