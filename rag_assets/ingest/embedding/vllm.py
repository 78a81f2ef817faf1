"""Embedder backend: any model that vLLM pools, in an engine of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.inference.engine import EngineSettings, open_engine
from rag_assets.inference.model_files import ModelFiles
from rag_assets.inference.precision import resolve
from rag_assets.ingest.chunking.tokens import TokenCounter, TokenizerCounter
from rag_assets.ingest.embedding.encode import checked
from rag_assets.ingest.embedding.window import content_window
from rag_assets.store.digest import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

VERSION = 1  # raise when this file changes vectors
SLICE = 64  # texts that are tokenized while the engine computes those before


class VllmEmbedder:
    """Embeds with vLLM; the engine starts at the first use. Texts go to it as tokens, as soon as they are such."""

    at_once = 2  # while the vectors of one call are put together, the engine has the other one's texts

    def __init__(self, config: corpus.Embedder, files: ModelFiles) -> None:
        self._config = config
        self._files = files
        engine = config.vllm or corpus.Vllm()
        window = files.window if engine.max_model_len is None else engine.max_model_len
        assert window is not None, "only static models have none"
        self._window = min(window, files.window or window)
        self._settings = EngineSettings(
            name=files.name,
            folder=files.folder,
            runner="pooling",
            dtype=resolve(config.precision),
            window=self._window,
            vllm=engine,
        )
        self.about: Mapping[str, Any] = {
            "backend": "vllm",
            "version": VERSION,
            "model": files.name,
            "files": files.digest,
            "window": self._window,
            "precision": self._settings.dtype,
            "quantization": engine.quantization,
            "normalize": config.normalize,
            "document_prefix": config.document_prefix,
        }
        # The name is for people: the same files under another name give the same vectors.
        self.fingerprint = fingerprint({key: value for key, value in self.about.items() if key != "model"})

    @cached_property
    def window(self) -> int | None:
        """See ``content_window``."""
        return content_window(self._window, self._files.tokenizer, self._config.document_prefix)

    def counter(self) -> TokenCounter:
        """Exact counts with the model's own tokenizer."""
        return TokenizerCounter(self._files.tokenizer)

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        """Vectors of passages; see ``Embedder``."""
        return self._embed([self._config.document_prefix + text for text in texts], cut=False)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries; see ``Embedder``."""
        return self._embed([self._config.query_prefix + text for text in texts], cut=True)

    def _embed(self, texts: list[str], *, cut: bool) -> NDArray[np.float32]:
        import numpy as np

        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        tokenizer = self._cutting if cut else self._whole
        slices = (texts[start : start + SLICE] for start in range(0, len(texts), SLICE))
        prompts = ([found.ids for found in tokenizer.encode_batch_fast(part)] for part in slices)
        vectors = open_engine(self._settings).embed(prompts)
        return checked(vectors, self._files.name, normalize=self._config.normalize)

    @cached_property
    def _whole(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._files.tokenizer))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _cutting(self) -> Tokenizer:
        # Another one: to set up a tokenizer while a thread uses it is an error.
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._files.tokenizer))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self._window)
        return tokenizer
