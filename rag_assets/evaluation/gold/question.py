"""What a gold question is.

A *target* is a document that must be found by id, or a passage that must be found by its words.
A question has at least one, or it is *unanswerable*: the corpus does not hold the answer, and a
good system says so instead of inventing one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from rag_assets.store.digest import digest


@dataclass(frozen=True)
class Question:
    """One question and the targets that a good search finds for it.

    Attributes:
        answer: the reference answer, if there is one.
        answerable: false when a good system abstains; then there are no targets.
    """

    id: str
    question: str
    documents: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    answer: str | None = None
    tags: tuple[str, ...] = ()
    answerable: bool = True

    @property
    def key(self) -> str:
        """Identity of the task: same question and same targets, whatever id and tags say.

        Two versions are compared on equal keys only: a question whose targets were edited is a new task.
        """
        return digest(self.question, json.dumps([sorted(self.documents), sorted(self.passages)]))


@dataclass(frozen=True)
class GoldSet:
    """Questions in file order.

    Attributes:
        proposals: lines that no person has accepted yet; they are not asked.
        retired: lines that a person has retired, since what they want was removed on purpose; they are not asked.
    """

    questions: tuple[Question, ...]
    proposals: tuple[Question, ...] = ()
    retired: tuple[Question, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Names the questions' content, whatever their order."""
        parts = sorted(
            json.dumps([one.id, one.key, one.answer, sorted(one.tags), one.answerable])
            for one in self.questions
        )
        return digest(*parts)

    def batches(self, size: int) -> Iterator[tuple[Question, ...]]:
        """The questions in their order, ``size`` at a time."""
        for start in range(0, len(self.questions), size):
            yield self.questions[start : start + size]
