"""An OpenAI-compatible chat endpoint: a vLLM server, or a hosted one. The seam to the openai client.

messages + JSON schema → ``Completion`` or ``Failure``. Calls run concurrently; a call has one time
budget for all of its attempts. The client itself repeats what a server asks to be repeated (429, 5xx,
lost connections), with backoff and jitter.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from rag_assets import corpus
from rag_assets.answers.generator import Failure
from rag_assets.errors import ConfigurationError, redacted

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T", bound=BaseModel)
NO_KEY = "none"  # what a server without keys is sent: the client insists on one


@dataclass(frozen=True, slots=True)
class Completion(Generic[T]):
    """A reply of the wanted form, and what it took. ``seconds`` counts from sending to receiving."""

    value: T
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class ChatEndpoint:
    """Calls to one model of one server. Belongs to one event loop: open it where it is used.

    Args:
        config: the endpoint of the corpus file. The key stands in the environment variable that it names.

    Raises:
        ConfigurationError: the openai client is not installed.
    """

    def __init__(self, config: corpus.Endpoint) -> None:
        self._config = config
        self._slots = asyncio.Semaphore(config.concurrency)
        self._client = _client(config)

    async def __aenter__(self) -> ChatEndpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(self, messages: list[dict[str, str]], form: type[T]) -> Completion[T] | Failure:
        """One reply that fits ``form``, or why there is none."""
        async with self._slots:
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._config.timeout_seconds):
                    return await self._ask(messages, form, started)
            except TimeoutError:
                return Failure(f"no reply within {self._config.timeout_seconds:g} s")

    async def _ask(
        self, messages: list[dict[str, str]], form: type[T], started: float
    ) -> Completion[T] | Failure:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            create: Any = self._client.chat.completions.create  # its overloads name every model of one vendor
            reply = await create(
                model=self._config.model,
                messages=messages,
                temperature=self._config.temperature,
                seed=0,
                max_tokens=self._config.max_tokens,
                response_format={
                    "type": "json_schema",
                    "json_schema": {
                        "name": form.__name__,
                        "schema": form.model_json_schema(),
                        "strict": True,
                    },
                },
            )
        except APIStatusError as error:
            return Failure(f"the server answered {error.status_code}: {_first_line(error.message)}")
        except APIConnectionError as error:
            cause = error.__cause__ or error
            return Failure(
                f"the server could not be reached: {_first_line(str(cause) or type(cause).__name__)}"
            )
        except (OpenAIError, ValueError) as error:
            return Failure(f"the reply could not be read: {_first_line(str(error))}")
        if not reply.choices:
            return Failure("the reply holds no choice")
        choice, usage = reply.choices[0], reply.usage
        taken = (
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
            time.perf_counter() - started,
        )
        if choice.finish_reason == "length":
            return Failure(f"the reply was cut off after max_tokens = {self._config.max_tokens}", *taken)
        said = choice.message.content or ""
        try:
            return Completion(form.model_validate_json(said), *taken)
        except ValidationError:
            return Failure(f"the reply is not the JSON that was asked for: {_first_line(said)!r}", *taken)


def _client(config: corpus.Endpoint) -> AsyncOpenAI:
    try:
        from openai import AsyncOpenAI
    except ImportError as error:
        raise ConfigurationError(
            "type: openai needs the extra 'quality': pip install 'rag-assets[quality]'"
        ) from error
    return AsyncOpenAI(
        base_url=config.url,
        api_key=os.environ.get(config.key_variable) or NO_KEY,
        max_retries=config.retries,
        timeout=config.timeout_seconds,
    )


def _first_line(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "nothing")
    return redacted(line.strip())[:200]
