"""The one interface behind which judges stand, and the names of what they judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag_assets.inference.chat import Failure
from rag_assets.store.digest import digest

TRIAD = ("contextual_relevancy", "faithfulness", "answer_relevancy")
WITH_REFERENCE = ("contextual_precision", "contextual_recall", "answer_correctness")
JUDGED = (*TRIAD, *WITH_REFERENCE)
"""
- contextual_relevancy: share of the contexts' statements that bear on the question.
- faithfulness: share of the answer's statements that the contexts support.
- answer_relevancy: share of the answer's statements that bear on the question.
- contextual_precision: whether contexts that support the reference answer stand before the others.
- contextual_recall: share of the reference answer's statements that the contexts support.
- answer_correctness: how far the answer says what the reference answer says.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged.

    Attributes:
        answer: None when the system abstained: then only the contexts are judged.
        reference: the gold set's answer, if it has one.
    """

    question: str
    contexts: tuple[str, ...]
    answer: str | None
    reference: str | None

    @property
    def key(self) -> str:
        """Same case, same key."""
        return digest(self.question, self.answer or "", self.reference or "", *self.contexts)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What can be judged of this case."""
        found = ["contextual_relevancy"]
        if self.answer is not None:
            found += ["faithfulness", "answer_relevancy"]
        if self.reference is not None:
            found += ["contextual_precision", "contextual_recall"]
            if self.answer is not None:
                found.append("answer_correctness")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Score:
    """A value from 0 to 1 and why. ``evidence``: statements with the verdict on each."""

    value: float
    reason: str
    evidence: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of all metrics of a case, and what they took."""

    scores: Mapping[str, Score]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Judge(Protocol):
    """Cases → judgements."""

    @property
    def fingerprint(self) -> str:
        """Key of everything that determines a judgement besides the case."""
        ...

    @property
    def about(self) -> Mapping[str, Any]:
        """What the fingerprint covers, readable; ``model`` names the model."""
        ...

    @property
    def reliability(self) -> Mapping[str, Any]:
        """How well it agrees with people, by metric and human-labelled set; empty where that was not measured."""
        ...

    def judge(self, cases: Sequence[Case]) -> list[Judgement | Failure]:
        """One result per case, in their order. A judgement holds every metric of its case; else it is a failure."""
        ...
