"""Generator backend: a model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from rag_assets import corpus
from rag_assets.answers.chat import ChatEndpoint
from rag_assets.answers.generator import Answer, Failure, Task
from rag_assets.answers.prompt import INSTRUCTIONS, VERSION, Reply, messages
from rag_assets.errors import printable
from rag_assets.store.digest import fingerprint


class EndpointGenerator:
    """Answers with a chat model. Nothing is sent until a task is answered."""

    def __init__(self, config: corpus.Endpoint, instructions: str | None = None) -> None:
        self._config = config
        self._instructions = instructions or INSTRUCTIONS
        self.about: Mapping[str, Any] = {
            "backend": "openai",
            "version": VERSION,
            "model": config.model,
            "temperature": config.temperature,
            "max_tokens": config.max_tokens,
            "instructions": self._instructions,
        }
        # The same model behind another URL gives the same answers.
        self.fingerprint = fingerprint(dict(self.about))

    def answer(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        """See ``Generator``. Calls run concurrently, as many as the endpoint's ``concurrency``."""
        return asyncio.run(self._answer_all(tasks))

    async def _answer_all(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        async with ChatEndpoint(self._config) as endpoint:
            return await asyncio.gather(*(self._answer(endpoint, task) for task in tasks))

    async def _answer(self, endpoint: ChatEndpoint, task: Task) -> Answer | Failure:
        found = await endpoint.complete(messages(task, self._instructions), Reply)
        if isinstance(found, Failure):
            return found
        reply = found.value
        text = printable(reply.answer).strip()
        abstained = reply.abstained or not text
        # A number that is no passage's cites nothing.
        cited = [number - 1 for number in reply.citations if 0 < number <= len(task.contexts)]
        return Answer(
            "" if abstained else text,
            () if abstained else tuple(dict.fromkeys(cited)),
            abstained,
            found.prompt_tokens,
            found.completion_tokens,
            found.seconds,
        )
