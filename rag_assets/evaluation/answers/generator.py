"""The one interface behind which generators stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag_assets.inference.chat import Failure
from rag_assets.store.digest import digest


@dataclass(frozen=True, slots=True)
class Context:
    """One chunk that search found, best first among its like."""

    chunk_id: str
    document_id: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Task:
    """A question and what it is to be answered from."""

    question: str
    contexts: tuple[Context, ...]

    @property
    def key(self) -> str:
        """Same question, same contexts in the same order: same key, wherever the contexts stand."""
        return digest(self.question, *(part for one in self.contexts for part in (one.heading, one.text)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a generator said.

    Attributes:
        text: the answer; empty when it abstained.
        citations: places of the contexts that it rests on, from 0: ids would change with a rename.
        abstained: it says that the contexts do not hold the answer.
        prompt_tokens, completion_tokens: of the model; 0 where there is none.
        seconds: of the call, waiting for other calls left out.
    """

    text: str
    citations: tuple[int, ...]
    abstained: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Generator(Protocol):
    """Tasks → answers."""

    @property
    def fingerprint(self) -> str:
        """Key of everything that determines an answer besides the task."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """What the fingerprint covers, readable; ``model`` names the model."""
        ...

    def answer(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        """One result per task, in their order. One task's failure leaves the others alone."""
        ...
