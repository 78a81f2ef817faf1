"""A chat model in a vLLM engine of this process.

messages + JSON schema → ``Completion`` or ``Failure``. All calls are given to the engine at once: it
batches them, and computes the beginning that their prompts share only once.
"""

from __future__ import annotations

import asyncio
import time

from pydantic import ValidationError

from rag_assets import corpus
from rag_assets.errors import printable
from rag_assets.inference.chat import Completion, Failure, Messages, T
from rag_assets.inference.engine import EngineSettings, open_engine
from rag_assets.inference.model_files import find_folder


class ChatEngine:
    """Calls to a model of this process.

    Args:
        config: of the corpus file. The engine starts when the model is first entered.
    """

    def __init__(self, config: corpus.VllmModel) -> None:
        self._config = config
        self._slots = asyncio.Semaphore(config.concurrency)
        self._settings = EngineSettings(
            name=config.model,
            folder=find_folder(config.model, config.revision, "model"),
            runner="generate",
            dtype=config.dtype,
            window=config.vllm.max_model_len,
            vllm=config.vllm,
        )

    async def __aenter__(self) -> ChatEngine:
        await asyncio.to_thread(open_engine, self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        pass  # the process keeps its engine

    async def complete(self, messages: Messages, form: type[T]) -> Completion[T] | Failure:
        """See ``Chat``.

        Raises:
            ModelUnavailable: the engine died.
        """
        async with self._slots:
            started = time.perf_counter()
            reply = open_engine(self._settings).reply(
                messages,
                form.model_json_schema(),
                temperature=self._config.temperature,
                max_tokens=self._config.max_tokens,
            )
            try:
                found = await asyncio.wait_for(reply, self._config.timeout_seconds)
            except TimeoutError:
                return Failure(f"no reply within {self._config.timeout_seconds:g} s")
            except ValueError as error:
                return Failure(f"the engine refused the prompt: {printable(str(error))[:200]}")
        taken = (found.prompt_tokens, found.completion_tokens, time.perf_counter() - started)
        if not found.finished:
            return Failure(f"the reply was cut off after max_tokens = {self._config.max_tokens}", *taken)
        try:
            return Completion(form.model_validate_json(found.text), *taken)
        except ValidationError:
            said = printable(found.text).strip()[:200]
            return Failure(f"the reply is not the JSON that was asked for: {said!r}", *taken)
