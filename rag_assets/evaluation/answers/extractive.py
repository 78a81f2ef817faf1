"""Generator backend without a language model: the contexts' own sentences that answer best.

contexts → sentences → score (meaning and words in common with the question) → the best ones, in
the order in which they stand; or an abstention when even the best is unlikely to answer.

What it says is faithful by construction, so it is the floor that a language model has to beat.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.evaluation.answers.generator import Answer, Task
from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.evaluation.answers.vectors import SentenceVectors
from rag_assets.evaluation.gold.words import words
from rag_assets.inference.chat import Failure
from rag_assets.store.digest import fingerprint
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 2  # raise when this file answers otherwise
NEAR = 0.1  # a further sentence must score this near to the best
MEANING, WORDS = 0.7, 0.3
PROSE_ENDS = (".", "!", "?", "\u3002", "\uff01", "\uff1f")  # the last three: Chinese and Japanese
# Logistic regression of "the contexts answer the question" on the best sentence's similarity and the share
# of the question's words in it and in all contexts, fitted by ``python -m benchmarks.answers`` on one half of
# the questions of SQuAD 2 and CLAPNQ. It is a weak signal (AUROC 0.63 on the other half), so that it abstains only
# where it is fairly sure.
INTERCEPT, SIMILARITY, IN_SENTENCE, IN_CONTEXTS = -2.16, 2.82, -0.24, 0.5
ABSTAIN_BELOW = 0.4


class ExtractiveGenerator:
    """Answers with sentences of the contexts, whose vectors ``objects`` keeps."""

    def __init__(self, config: corpus.Extractive, objects: ObjectStore) -> None:
        self._config = config
        self._vectors = SentenceVectors(objects)
        self.about: Mapping[str, Any] = {
            "backend": "extractive",
            "version": VERSION,
            "model": self._vectors.model,
            "vectors": self._vectors.fingerprint,
            "weights": [NEAR, MEANING, WORDS, INTERCEPT, SIMILARITY, IN_SENTENCE, IN_CONTEXTS, ABSTAIN_BELOW],
            "sentences": config.sentences,
        }
        self.fingerprint = fingerprint({key: value for key, value in self.about.items() if key != "model"})

    def answer(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        """See ``Generator``. All sentences of a call are embedded together, each once."""
        started = time.perf_counter()
        found = [self._sentences(task) for task in tasks]
        vectors = self._vectors.of(
            [task.question for task in tasks] + [text for one in found for text, _ in one]
        )
        answers = [self._answer(task, one, vectors) for task, one in zip(tasks, found, strict=True)]
        seconds = (time.perf_counter() - started) / max(1, len(tasks))
        return [Answer(text, citations, not text, seconds=seconds) for text, citations in answers]

    def _sentences(self, task: Task) -> list[tuple[str, int]]:
        """(sentence, place of its context) of all contexts, each sentence once."""
        found: dict[str, int] = {}
        for place, context in enumerate(task.contexts):
            for sentence in sentences(context.text):
                found.setdefault(sentence, place)
        return list(found.items())

    def _answer(
        self, task: Task, found: list[tuple[str, int]], vectors: Mapping[str, NDArray[np.float32]]
    ) -> tuple[str, tuple[int, ...]]:
        """The answer and its citations; empty when it abstains."""
        if not found:
            return "", ()
        best = best_sentence(task.question, [sentence for sentence, _ in found], vectors)
        if answerable(*best.features) < ABSTAIN_BELOW:
            return "", ()
        scores = best.scores
        near = [place for place in range(len(found)) if scores[place] >= max(scores) - NEAR]
        chosen = sorted(sorted(near, key=lambda place: -scores[place])[: self._config.sentences])
        return (
            joined([found[place][0] for place in chosen]),
            tuple(dict.fromkeys(found[place][1] for place in chosen)),
        )


def joined(found: Sequence[str]) -> str:
    """Statements as one text of which ``sentences`` finds the same: prose flows, rows and headings stand alone."""
    text = ""
    for statement in found:
        flows = text.endswith(PROSE_ENDS) and statement.endswith(PROSE_ENDS)
        shown = f"| {statement} |" if " | " in statement else statement
        text += (" " if flows else "\n\n") + shown if text else shown
    return text


@dataclass(frozen=True)
class Best:
    """How the sentences of the contexts fit a question.

    Attributes:
        scores: of each sentence.
        features: arguments of ``answerable``.
    """

    scores: Sequence[float]
    features: tuple[float, float, float]


def best_sentence(question: str, found: Sequence[str], vectors: Mapping[str, NDArray[np.float32]]) -> Best:
    """Score sentences for a question; at least one. ``vectors``: of the question and of every sentence."""
    asked = frozenset(words(question))
    similar = [float(vectors[sentence] @ vectors[question]) for sentence in found]
    spoken = [frozenset(words(sentence)) for sentence in found]
    shared = [len(asked & said) / max(1, len(asked)) for said in spoken]
    scores = [MEANING * a + WORDS * b for a, b in zip(similar, shared, strict=True)]
    best = max(range(len(found)), key=lambda place: (scores[place], -place))
    everywhere = len(asked & frozenset().union(*spoken)) / max(1, len(asked))
    return Best(scores, (similar[best], shared[best], everywhere))


def answerable(similarity: float, in_sentence: float, in_contexts: float) -> float:
    """Probability that the contexts answer the question.

    Args:
        similarity: cosine of question and best sentence.
        in_sentence: share of the question's words that stand in it.
        in_contexts: share of them that stand in any context.
    """
    score = INTERCEPT + SIMILARITY * similarity + IN_SENTENCE * in_sentence + IN_CONTEXTS * in_contexts
    return 1 / (1 + math.exp(-score))
