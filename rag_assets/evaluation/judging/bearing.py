"""Does a text bear on a question? The nearest of its sentences in meaning, and the question's words in all of it.

Either alone errs: a short text that answers in other words is near in meaning, and one on many subjects has a
sentence that is not near, yet the words. The weight, the thresholds and what they reach stand in ``bearing.json``,
which ``python -m benchmarks.relevancy`` chooses on one half of sets in which people say what is
relevant, and measures on the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from rag_assets.evaluation.gold.words import words
from rag_assets.evaluation.judging.support import stem, weight


@dataclass(frozen=True)
class Bearing:
    """One relevancy metric.

    Attributes:
        words: weight of the share of words, where the similarity has 1.
        threshold: of the sum, from which a text bears on the question.
        reliability: what was measured on the other half, by set.
    """

    words: float
    threshold: float
    reliability: Mapping[str, Any]

    def bears(self, similarity: float, shared: float) -> bool:
        """Whether a text bears on a question.

        Args:
            similarity: cosine of the question and the nearest sentence.
            shared: share of the question's words in the text (``shared_words``).
        """
        return similarity + self.words * shared >= self.threshold


def shared_words(question: str, text: str) -> float:
    """Share of a question's words that stand in a text, by their first letters, long ones first."""
    asked = {stem(word) for word in words(question)}
    said = {stem(word) for word in words(text)}
    return sum(map(weight, asked & said)) / sum(map(weight, asked)) if asked else 0.0


@cache
def bearings() -> Mapping[str, Bearing]:
    """By metric."""
    found = json.loads((files("rag_assets.evaluation.judging") / "bearing.json").read_text(encoding="utf-8"))
    return {metric: Bearing(**one) for metric, one in found.items()}
