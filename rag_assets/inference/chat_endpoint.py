"""An OpenAI-compatible chat endpoint: a vLLM server, or a hosted one. The seam to the openai client.

messages + JSON schema → ``Completion`` or ``Failure``. Calls run concurrently; a call has one time
budget for all of its attempts. The client itself repeats what a server asks to be repeated (429, 5xx,
lost connections), with backoff and jitter.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from rag_assets import corpus
from rag_assets.inference.chat import Completion, Failure, Messages, T
from rag_assets.inference.endpoint import open_client, shown

ENVELOPE_BYTES, TOKEN_BYTES = 65_536, 64  # what a reply may have around its text, and for each token


class ChatEndpoint:
    """Calls to one model of one server. Belongs to one event loop: open it where it is used.

    Args:
        config: the endpoint of the corpus file. The key stands in the environment variable that it names.

    Raises:
        ConfigurationError: the openai client is not installed, or the key cannot be one.
    """

    def __init__(self, config: corpus.ChatEndpoint) -> None:
        self._config = config
        self._slots = asyncio.Semaphore(config.concurrency)
        self._client, self._key = open_client(config)

    async def __aenter__(self) -> ChatEndpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(self, messages: Messages, form: type[T]) -> Completion[T] | Failure:
        """One reply that fits ``form``, or why there is none."""
        async with self._slots:
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._config.timeout_seconds):
                    return await self._ask(messages, form, started)
            except TimeoutError:
                return Failure(f"no reply within {self._config.timeout_seconds:g} s")

    async def _ask(self, messages: Messages, form: type[T], started: float) -> Completion[T] | Failure:
        from openai import APIConnectionError, APIStatusError

        try:
            body = await self._reply(messages, form)
        except APIStatusError as error:
            return Failure(f"the server answered {error.status_code}: {shown(error.message, self._key)}")
        except APIConnectionError as error:
            cause = error.__cause__ or error
            said = shown(str(cause) or type(cause).__name__, self._key)
            return Failure(f"the server could not be reached: {said}")
        except Exception as error:  # the seam: its HTTP client raises what it likes over a broken body
            return Failure(f"the reply could not be read: {shown(str(error), self._key)}")
        if body is None:
            return Failure(f"the reply is longer than max_tokens = {self._config.max_tokens} can be")
        try:
            reply = _Reply.model_validate_json(body)
        except ValidationError:
            return Failure(
                f"the reply is no chat completion: {shown(body.decode(errors='replace'), self._key)!r}"
            )
        choice = reply.choices[0]
        taken = (reply.tokens("prompt"), reply.tokens("completion"), time.perf_counter() - started)
        if choice.finish_reason == "length":
            return Failure(f"the reply was cut off after max_tokens = {self._config.max_tokens}", *taken)
        said = choice.message.content or ""
        try:
            return Completion(form.model_validate_json(said), *taken)
        except ValidationError:
            return Failure(
                f"the reply is not the JSON that was asked for: {shown(said, self._key)!r}", *taken
            )

    async def _reply(self, messages: Messages, form: type[T]) -> bytes | None:
        """The body of the server's reply; None when it is longer than a sane one can be."""
        create: Any = self._client.chat.completions.with_streaming_response.create
        request = create(
            model=self._config.model,
            messages=messages,
            temperature=self._config.temperature,
            seed=0,
            max_tokens=self._config.max_tokens,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": form.__name__, "schema": form.model_json_schema(), "strict": True},
            },
        )
        body = bytearray()
        async with request as response:
            async for piece in response.iter_bytes():
                body += piece
                if len(body) > ENVELOPE_BYTES + TOKEN_BYTES * self._config.max_tokens:
                    return None
        return bytes(body)


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Reply(BaseModel):
    """What of a chat completion is read; servers differ in the rest."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None

    def tokens(self, kind: str) -> int:
        """Tokens as the server counts them; 0 where it does not say a sensible number."""
        found = self.usage.get(f"{kind}_tokens") if isinstance(self.usage, dict) else None
        return found if type(found) is int and 0 <= found < 2**53 else 0
