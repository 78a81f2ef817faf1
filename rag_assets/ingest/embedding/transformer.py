"""Embedder backend: any sentence-transformers model. The seam to torch and transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.errors import ModelError
from rag_assets.inference.model_files import ModelFiles
from rag_assets.inference.precision import resolve
from rag_assets.ingest.chunking.tokens import TokenCounter, TokenizerCounter
from rag_assets.ingest.embedding.embedder import batches
from rag_assets.ingest.embedding.encode import encode
from rag_assets.ingest.embedding.window import content_window
from rag_assets.store.digest import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

VERSION = 1  # raise when this file changes vectors


class TransformerEmbedder:
    """Embeds with sentence-transformers; loads the model at the first use."""

    at_once = 1

    def __init__(self, config: corpus.Embedder, files: ModelFiles) -> None:
        self._config = config
        self._files = files
        self._precision = resolve(config.precision)
        self.about: Mapping[str, Any] = {
            "backend": "sentence-transformers",
            "version": VERSION,
            "model": files.name,
            "files": files.digest,
            "window": files.window,
            "precision": self._precision,
            "normalize": config.normalize,
            "document_prefix": config.document_prefix,
        }
        # The name is for people: the same files under another name give the same vectors.
        self.fingerprint = fingerprint({key: value for key, value in self.about.items() if key != "model"})

    @cached_property
    def window(self) -> int | None:
        """See ``content_window``."""
        if self._files.window is None:
            return None
        return content_window(self._files.window, self._files.tokenizer, self._config.document_prefix)

    def counter(self) -> TokenCounter:
        """Exact counts with the model's own tokenizer."""
        return TokenizerCounter(self._files.tokenizer)

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        """Vectors of passages; see ``Embedder``."""
        import numpy as np

        vectors: NDArray[np.float32] | None = None
        for batch in batches(tokens, self._config.batch_tokens):
            found = self._encode([self._config.document_prefix + texts[position] for position in batch])
            if vectors is None:
                vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
            vectors[batch] = found
        return np.empty((0, 0), dtype=np.float32) if vectors is None else vectors

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries; see ``Embedder``."""
        return self._encode([self._config.query_prefix + text for text in texts])

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        return encode(self._model, self._files.name, texts, len(texts), normalize=self._config.normalize)

    @cached_property
    def _model(self) -> SentenceTransformer:
        import torch
        from loky import cpu_count
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        # PyTorch counts the machine's cores. A container may have fewer, and threads beyond its limit are throttled;
        # a second thread on a core shares the one unit there that multiplies vectors or tiles.
        torch.set_num_threads(min(torch.get_num_threads(), cpu_count(only_physical_cores=True)))
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            model = SentenceTransformer(
                str(self._files.folder), model_kwargs={"dtype": getattr(torch, self._precision)}
            )
        except Exception as error:  # the seam: safetensors, tokenizers and models raise what they like
            raise ModelError(f"embedder.model: {self._files.name} cannot be loaded: {error}") from error
        taken, promised = model.max_seq_length, self._files.window
        if taken is not None and promised is not None and taken < promised:
            raise ModelError(
                f"{self._files.name}: its files promise a window of {promised} tokens, the loaded model takes "
                f"{taken}; texts would be truncated"
            )
        return model
