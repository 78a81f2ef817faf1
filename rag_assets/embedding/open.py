"""From configuration to an embedder. Nothing is loaded until a text is embedded."""

from __future__ import annotations

from rag_assets import corpus
from rag_assets.embedding.embedder import Embedder
from rag_assets.embedding.model_files import find_model
from rag_assets.embedding.static import StaticEmbedder
from rag_assets.embedding.transformer import TransformerEmbedder


def open_embedder(config: corpus.Embedder) -> Embedder:
    """The embedder that the corpus file asks for. Raises ModelError when its files cannot be found."""
    files = find_model(config)
    if config.type == "static":
        return StaticEmbedder(config, files)
    return TransformerEmbedder(config, files)
