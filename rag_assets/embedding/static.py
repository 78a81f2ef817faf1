"""Embedder backend: a table of token vectors and their mean. No attention, no window, very fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.chunking.tokens import CharacterCounter, TokenCounter
from rag_assets.embedding.encode import encode
from rag_assets.embedding.model_files import ModelFiles
from rag_assets.errors import ModelError
from rag_assets.store.digest import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

VERSION = 1  # raise when this file changes vectors
BATCH = 1024


class StaticEmbedder:
    """Embeds with sentence-transformers' StaticEmbedding; loads the table at the first use."""

    window: int | None = None

    def __init__(self, config: corpus.Embedder, files: ModelFiles) -> None:
        self._config = config
        self._files = files
        self.about: Mapping[str, Any] = {
            "backend": "static",
            "version": VERSION,
            "model": files.name,
            "files": files.digest,
            "precision": "float32",
            "normalize": config.normalize,
            "document_prefix": config.document_prefix,
        }
        self.fingerprint = fingerprint({key: value for key, value in self.about.items() if key != "model"})

    def counter(self) -> TokenCounter:
        """Estimates: nothing can be truncated, so an exact count would only cost time."""
        return CharacterCounter()

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        """Vectors of passages; see ``Embedder``."""
        return self._encode([self._config.document_prefix + text for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries; see ``Embedder``."""
        return self._encode([self._config.query_prefix + text for text in texts])

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        return encode(self._model, self._files.name, texts, BATCH, normalize=self._config.normalize)

    @cached_property
    def _model(self) -> SentenceTransformer:
        from safetensors.numpy import load_file
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer

        try:
            tables = [table for table in load_file(self._files.weights).values() if table.ndim == 2]
            tokenizer = Tokenizer.from_file(str(self._files.tokenizer))
        except Exception as error:  # the seam: safetensors and tokenizers raise bare exceptions
            raise ModelError(f"embedder.model: {self._files.name} cannot be loaded: {error}") from error
        if len(tables) != 1:
            raise ModelError(f"{self._files.name}: found {len(tables)} tables in its weights; allowed: one")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return SentenceTransformer(
            modules=[StaticEmbedding(tokenizer, embedding_weights=tables[0].astype("float32"))], device="cpu"
        )
