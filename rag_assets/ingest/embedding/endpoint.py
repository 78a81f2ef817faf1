"""Embedder backend: a model behind an OpenAI-compatible endpoint. The seam to the openai client.

Requests run concurrently, a batch of similar lengths each. The client itself repeats what a server
asks to be repeated (429, 5xx, lost connections), with backoff and jitter.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.errors import EmbeddingFailed, ModelError, ModelUnavailable
from rag_assets.inference.endpoint import open_client, shown, wait_for
from rag_assets.inference.model_files import ModelFiles
from rag_assets.ingest.chunking.tokens import TokenCounter, TokenizerCounter
from rag_assets.ingest.embedding.embedder import batches
from rag_assets.ingest.embedding.encode import checked
from rag_assets.ingest.embedding.window import content_window
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
        self._name = f"{files.name} at {config.endpoint.url}"
        # While the vectors of one call are put together, the server has the requests of the other one.
        self.at_once = min(2, config.endpoint.concurrency)
        # By loop: a forked process has another one.
        self._slots: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
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
        places = [*batches(tokens, self._config.batch_tokens, self._endpoint.texts_per_request)]
        found = wait_for(self._ask_all([[texts[place] for place in batch] for batch in places]))
        widths = {part.shape[1] for part in found}
        if self._endpoint.dimensions is not None:
            widths.add(self._endpoint.dimensions)
        if len(widths) > 1:
            raise ModelError(f"{self._name}: vectors of {' and '.join(map(str, sorted(widths)))} dimensions")
        vectors = np.empty((len(texts), found[0].shape[1]), dtype=np.float32)
        for batch, part in zip(places, found, strict=True):
            vectors[batch] = part
        return checked(vectors, self._files.name, normalize=self._config.normalize)

    async def _ask_all(self, requests: Sequence[Sequence[str]]) -> list[NDArray[np.float32]]:
        loop = asyncio.get_running_loop()
        slots = self._slots.setdefault(loop, asyncio.Semaphore(self._endpoint.concurrency))
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
        from openai import APIConnectionError, APIStatusError

        name = self._name
        more = {} if self._endpoint.dimensions is None else {"dimensions": self._endpoint.dimensions}
        try:
            # Raw: an object for each vector, and a Python number for each of its elements, would take ten times as
            # long as the transfer, and hold up the next request.
            reply = await client.embeddings.with_raw_response.create(
                model=self._endpoint.model, input=list(texts), **more
            )
            ordered = sorted(json.loads(reply.content)["data"], key=lambda one: one["index"])
            if [one["index"] for one in ordered] != [*range(len(texts))]:
                raise ValueError(f"{len(ordered)} vectors for {len(texts)} texts, or two for one")
            vectors = np.stack([_vector(one["embedding"]) for one in ordered])
        except APIStatusError as error:
            said = f"{name} answered {error.status_code}: {shown(error.message, key)}"
            if error.status_code in REFUSED:
                raise EmbeddingFailed(said) from None
            raise (ModelError if error.status_code in MISTAKEN else ModelUnavailable)(said) from None
        except APIConnectionError as error:
            cause = error.__cause__ or error
            said = shown(str(cause) or type(cause).__name__, key)
            raise ModelUnavailable(f"{name} could not be reached: {said}") from None
        except Exception as error:  # the seam: its HTTP client raises what it likes over a broken body
            raise ModelUnavailable(f"{name} sent what is no embedding: {shown(str(error), key)}") from None
        return vectors.reshape(len(texts), -1)


def _vector(sent: str | list[float]) -> NDArray[np.float32]:
    """A vector as servers send it: base64 of little-endian floats, which the client asks for, or plain numbers."""
    import numpy as np

    if isinstance(sent, str):
        return np.frombuffer(base64.b64decode(sent, validate=True), dtype="<f4")
    return np.asarray(sent, dtype=np.float32)
