"""Embedder backend: a table of token vectors and their mean. No attention, no window, very fast.

texts → tokens → (texts x vocabulary) sparse counts @ table → means: what sentence-transformers'
StaticEmbedding computes, without importing torch, which takes longer than embedding 10,000 texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.errors import ModelError
from rag_assets.inference.model_files import ModelFiles
from rag_assets.ingest.chunking.tokens import CharacterCounter, TokenCounter
from rag_assets.ingest.embedding.encode import checked
from rag_assets.store.digest import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

VERSION = 2  # raise when this file changes vectors
BATCH = 1024


class StaticEmbedder:
    """Mean of token vectors; loads the table at the first use."""

    window: int | None = None
    at_once = 1

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
        import numpy as np

        parts = [self._means(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        vectors = np.concatenate(parts) if parts else np.empty((0, self._model[1].shape[1]), dtype=np.float32)
        return checked(vectors, self._files.name, normalize=self._config.normalize)

    def _means(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np
        from scipy.sparse import csr_array

        tokenizer, table = self._model
        tokens = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        lengths = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        columns = np.fromiter(chain.from_iterable(tokens), dtype=np.int32, count=int(lengths.sum()))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        weights = np.repeat((1 / np.maximum(lengths, 1)).astype(np.float32), lengths)
        shape = (len(texts), table.shape[0])
        return np.asarray(csr_array((weights, columns, starts), shape=shape) @ table, dtype=np.float32)

    @cached_property
    def _model(self) -> tuple[Tokenizer, NDArray[np.float32]]:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            tables = [table for table in load_file(str(self._files.weights)).values() if table.ndim == 2]
            tokenizer = Tokenizer.from_file(str(self._files.tokenizer))
        except Exception as error:  # the seam: safetensors and tokenizers raise bare exceptions
            raise ModelError(f"embedder.model: {self._files.name} cannot be loaded: {error}") from error
        if len(tables) != 1:
            raise ModelError(f"{self._files.name}: found {len(tables)} tables in its weights; allowed: one")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, tables[0].astype("float32")
