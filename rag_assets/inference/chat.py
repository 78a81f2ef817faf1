"""The one interface behind which chat models stand."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)
Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Completion(Generic[T]):
    """A reply of the wanted form, and what it took. ``seconds`` counts from sending to receiving."""

    value: T
    prompt_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result, and what was spent on it. Never stored: the next run tries again."""

    reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Chat(Protocol):
    """A chat model. Belongs to one event loop: open it where it is used."""

    async def __aenter__(self) -> Chat:
        """Open it."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of connections; an engine stays for the next use."""
        ...

    async def complete(self, messages: Messages, form: type[T]) -> Completion[T] | Failure:
        """One reply that fits ``form``, or why there is none. Calls may run at the same time."""
        ...
