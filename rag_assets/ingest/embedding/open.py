"""From configuration to an embedder. Nothing is loaded until a text is embedded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rag_assets import corpus
from rag_assets.inference.model_files import ModelFiles, find_model
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.endpoint import EndpointEmbedder
from rag_assets.ingest.embedding.static import StaticEmbedder
from rag_assets.ingest.embedding.transformer import TransformerEmbedder
from rag_assets.ingest.embedding.vllm import VllmEmbedder


def reader_settings(config: corpus.Embedder) -> Mapping[str, Any]:
    """What of the settings matters to who embeds queries: a table whose readers need others is another table."""
    found = config.model_dump(mode="json", include={"type", "model", "revision", "query_prefix"})
    if config.endpoint is not None:  # how fast and how patiently it is asked is nobody else's business
        found["endpoint"] = config.endpoint.model_dump(include={"url", "model", "dimensions"})
    return found


def open_embedder(config: corpus.Embedder) -> Embedder:
    """The embedder that the corpus file asks for. Raises ModelError when its files cannot be found."""
    files = find_model(config)
    backends: dict[str, Callable[[corpus.Embedder, ModelFiles], Embedder]] = {
        "sentence-transformers": TransformerEmbedder,
        "static": StaticEmbedder,
        "vllm": VllmEmbedder,
        "openai": EndpointEmbedder,
    }
    return backends[config.type](config, files)
