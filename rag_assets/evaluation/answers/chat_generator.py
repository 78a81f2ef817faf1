"""Generator backend: a chat model, behind an endpoint or in an engine of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from rag_assets import corpus
from rag_assets.errors import printable
from rag_assets.evaluation.answers.generator import Answer, Task
from rag_assets.evaluation.answers.prompt import INSTRUCTIONS, VERSION, Reply, messages
from rag_assets.inference.chat import Chat, Failure
from rag_assets.inference.open_chat import identity, open_chat
from rag_assets.store.digest import fingerprint


class ChatGenerator:
    """Answers with a chat model. Nothing is sent until a task is answered."""

    def __init__(self, config: corpus.ChatModel, instructions: str | None = None) -> None:
        self._config = config
        self._instructions = instructions or INSTRUCTIONS
        self.about: Mapping[str, Any] = {
            "backend": config.type,
            "version": VERSION,
            **identity(config),
            "instructions": self._instructions,
        }
        self.fingerprint = fingerprint(dict(self.about))

    def answer(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        """See ``Generator``. Calls run concurrently, as many as its ``concurrency``."""
        return asyncio.run(self._answer_all(tasks))

    async def _answer_all(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        async with open_chat(self._config) as chat:
            return await asyncio.gather(*(self._answer(chat, task) for task in tasks))

    async def _answer(self, chat: Chat, task: Task) -> Answer | Failure:
        found = await chat.complete(messages(task, self._instructions), Reply)
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
