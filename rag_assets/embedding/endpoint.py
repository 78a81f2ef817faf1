"""Embedder backend: a model behind an OpenAI-compatible endpoint. The seam to the openai client.

Requests run concurrently, a batch of similar lengths each. The client itself repeats what a server
asks to be repeated (429, 5xx, lost connections), with backoff and jitter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.chunking.tokens import TokenCounter, TokenizerCounter
from rag_assets.embedding.embedder import batches
from rag_assets.embedding.encode import checked
from rag_assets.embedding.model_files import ModelFiles
from rag_assets.embedding.window import content_window
from rag_assets.endpoint import open_client, shown
from rag_assets.errors import EmbeddingFailed, ModelError, ModelUnavailable
from rag_assets.store.digest import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1  # raise when this file changes vectors
REFUSED = {400, 413, 422}  # statuses that speak of the texts
MISTAKEN = {401, 403, 404}  # and of the set-up


class EndpointEmbedder:
    """Embeds by asking a server. Nothing is sent until a text is embedded.

    Under the fingerprint stands the name that the server knows the model by, not its address: what it
    serves under the name is compared with what it served before, see ``embedding.canary``.
    """

    def __init__(self, config: corpus.Embedder, files: ModelFiles) -> None:
        assert config.endpoint is not None, "validated at load"
        self._config = config
        self._endpoint = config.endpoint
        self._files = files
        self.about: Mapping[str, Any] = {
            "backend": "openai",
            "version": VERSION,
            "model": files.name,
            "files": files.digest,
            "window": files.window,
            "precision": None,  # the server's affair
            "dimensions": self._endpoint.dimensions,
            "normalize": config.normalize,
            "document_prefix": config.document_prefix,
        }
        self.fingerprint = fingerprint(dict(self.about))

    @cached_property
    def window(self) -> int | None:
        """See ``content_window``."""
        assert self._files.window is not None, "only static models have none"
        return content_window(self._files.window, self._files.tokenizer, self._config.document_prefix)

    def counter(self) -> TokenCounter:
        """Exact counts with the model's own tokenizer."""
        return TokenizerCounter(self._files.tokenizer)

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        """Vectors of passages; see ``Embedder``.

        Raises:
            EmbeddingFailed: the server refused the texts.
            ModelUnavailable: it did not answer.
            ModelError: it refuses us, or does not know the model.
        """
        return self._embed([self._config.document_prefix + text for text in texts], tokens)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries; see ``Embedder``."""
        queries = self._cut([self._config.query_prefix + text for text in texts])
        return self._embed(queries, self.counter().count(queries))

    def _cut(self, texts: Sequence[str]) -> list[str]:
        """Texts that fit the window: a server would refuse longer ones, or cut them as it likes."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._files.tokenizer))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        window = content_window(self._files.window or 0, self._files.tokenizer, "")
        found = []
        for text, encoding in zip(
            texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True
        ):
            fits = len(encoding.ids) <= window
            found.append(text if fits else text[: encoding.offsets[window - 1][1]])
        return found

    def _embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        import numpy as np

        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        places = [*batches(tokens, self._config.batch_tokens)]
        found = asyncio.run(self._ask_all([[texts[place] for place in batch] for batch in places]))
        vectors = np.empty((len(texts), found[0].shape[1]), dtype=np.float32)
        for batch, part in zip(places, found, strict=True):
            vectors[batch] = part
        return checked(vectors, self._files.name, normalize=self._config.normalize)

    async def _ask_all(self, requests: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        slots = asyncio.Semaphore(self._endpoint.concurrency)
        client, key = open_client(self._endpoint)
        async with client:

            async def ask(texts: Sequence[str]) -> NDArray[np.float32]:
                async with slots:
                    return await self._ask(client, key, texts)

            try:
                async with asyncio.TaskGroup() as group:  # the first failure ends the others
                    asked = [group.create_task(ask(texts)) for texts in requests]
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
        return [task.result() for task in asked]

    async def _ask(self, client: Any, key: str, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np
        from openai import APIConnectionError, APIStatusError, OpenAIError

        name = f"{self._files.name} at {self._endpoint.url}"
        more = {} if self._endpoint.dimensions is None else {"dimensions": self._endpoint.dimensions}
        try:
            reply = await client.embeddings.create(model=self._endpoint.model, input=list(texts), **more)
            ordered = sorted(reply.data, key=lambda one: one.index)
            vectors = np.asarray([one.embedding for one in ordered], dtype=np.float32)
        except APIStatusError as error:
            said = f"{name} answered {error.status_code}: {shown(error.message, key)}"
            if error.status_code in REFUSED:
                raise EmbeddingFailed(said) from None
            raise (ModelError if error.status_code in MISTAKEN else ModelUnavailable)(said) from None
        except APIConnectionError as error:
            cause = error.__cause__ or error
            said = shown(str(cause) or type(cause).__name__, key)
            raise ModelUnavailable(f"{name} could not be reached: {said}") from None
        except (OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise ModelUnavailable(f"{name} sent what is no embedding: {shown(str(error), key)}") from None
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ModelUnavailable(f"{name} sent {len(ordered)} vectors for {len(texts)} texts")
        return vectors
