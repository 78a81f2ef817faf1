"""What a generating model is told, and what it must reply.

The stable parts come first and the question last, so that a server with prefix caching computes
the instructions once, and the contexts once for all questions that share them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from rag_assets.evaluation.answers.generator import Context, Task

VERSION = 1  # raise when the words below change what a model answers
INSTRUCTIONS = (
    "You answer questions from numbered passages of a document collection. Use nothing but the passages. "
    "Keep to the point, in the language of the question. Copy names and numbers exactly as the passages have them. "
    "List the numbers of the passages that your answer rests on in citations. "
    "If the passages do not hold the answer, set abstained to true, leave answer empty and cite nothing."
)


class Reply(BaseModel):
    """The JSON object that the model must give."""

    model_config = ConfigDict(extra="forbid")

    answer: str = Field(description="The answer, or nothing when abstained.")
    citations: list[int] = Field(description="Numbers of the passages that the answer rests on.")
    abstained: bool = Field(description="Whether the passages do not hold the answer.")


def messages(task: Task, instructions: str = INSTRUCTIONS) -> list[dict[str, str]]:
    """Chat messages of a task."""
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": f"{_passages(task.contexts)}\n\nQuestion: {task.question}"},
    ]


def _passages(contexts: Sequence[Context]) -> str:
    return "\n\n".join(
        f"[{number}] {context.heading}\n{context.text}" if context.heading else f"[{number}] {context.text}"
        for number, context in enumerate(contexts, start=1)
    )
