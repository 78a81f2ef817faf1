"""Does a text support a statement? Evidence from sentence vectors, words, numbers and names.

statement + contexts → ``FEATURES`` → logistic regression → probability that a human would call the
statement supported. The weights stand in ``support.json``, which ``python -m benchmarks judges`` fits on
one half of human-labelled sets; what the model reaches on the other half stands there, too.

An answer is judged by the features of all of its statements: their mean, and their worst, since
one invented statement spoils an answer.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_assets.evaluation.gold.words import words

FEATURES = ("similarity", "words", "words_nearby", "pairs", "numbers", "names")
"""
- similarity: cosine with the nearest sentence of the contexts.
- words: share of the statement's words that stand in the contexts, by their first letters, rare ones first.
- words_nearby: the same in the three nearest sentences.
- pairs: share of pairs of neighbouring words that stand in the contexts.
- numbers, names: share of its numbers and capitalized words that stand in the contexts; 1 without any.
"""
NEARBY = 3
STEM = 6  # first letters by which words are compared: a cheap stemmer for many languages
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=[a-z0-9,;:)] )[A-Z][\w'-]+")
_Vector = NDArray[np.float32]
_Features = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """The contexts of a case, prepared for many statements.

    Attributes:
        vectors: one row of length 1 per sentence.
    """

    sentences: Sequence[str]
    vectors: _Vector

    def features(self, statement: str, vector: _Vector) -> _Features:
        """``FEATURES`` of one statement."""
        stems = [stem(word) for word in words(statement)]
        if not self.sentences or not stems:
            return np.zeros(len(FEATURES))
        similar = self.vectors @ vector
        nearest = np.argsort(-similar, kind="stable")[:NEARBY]
        prepared = [_prepared(sentence) for sentence in self.sentences]
        everywhere = frozenset().union(*(one.stems for one in prepared))
        nearby = frozenset().union(*(prepared[place].stems for place in nearest))
        pairs = frozenset().union(*(one.pairs for one in prepared))
        weights = {one: weight(one) for one in stems}
        total = sum(weights[one] for one in stems)
        asked = list(itertools.pairwise(stems))
        text = " ".join(self.sentences)
        return np.array(
            [
                float(similar[nearest[0]]),
                sum(weights[one] for one in stems if one in everywhere) / total,
                sum(weights[one] for one in stems if one in nearby) / total,
                _share([pair in pairs for pair in asked]),
                _share([number in text for number in _NUMBER.findall(statement)]),
                _share([stem(name.casefold()) in everywhere for name in _NAME.findall(statement)]),
            ]
        )


@dataclass(frozen=True)
class SupportModel:
    """Weights on the mean and the worst of a text's features, as logistic regression.

    Attributes:
        weights: for mean, then for worst, in the order of ``FEATURES``.
        threshold: probability from which a text counts as supported, chosen on the fitted half.
        reliability: what was measured on the other half, by set.
    """

    weights: _Features
    intercept: float
    threshold: float
    reliability: Mapping[str, Any]

    def probability(self, features: Sequence[_Features], lengths: Sequence[int]) -> float:
        """Probability that the statements together are supported. ``lengths``: their weights in the mean."""
        score = self.intercept + float(self.weights @ aggregated(features, lengths))
        return 1 / (1 + math.exp(-score))


def aggregated(features: Sequence[_Features], lengths: Sequence[int]) -> _Features:
    """The mean, weighted by length, and the worst of each feature; shape (2 * len(FEATURES),)."""
    matrix = np.stack(features)
    return np.concatenate([np.average(matrix, axis=0, weights=np.maximum(lengths, 1)), matrix.min(axis=0)])


@cache
def support_model() -> SupportModel:
    """The fitted model of this package."""
    found = json.loads((files("rag_assets.evaluation.judging") / "support.json").read_text(encoding="utf-8"))
    return SupportModel(
        np.array(found["weights"]), found["intercept"], found["threshold"], found["reliability"]
    )


@dataclass(frozen=True)
class _Prepared:
    stems: frozenset[str]
    pairs: frozenset[tuple[str, str]]


@lru_cache(maxsize=8192)
def _prepared(sentence: str) -> _Prepared:
    stems = [stem(word) for word in words(sentence)]
    return _Prepared(frozenset(stems), frozenset(itertools.pairwise(stems)))


def stem(word: str) -> str:
    """The part of a word by which it is compared."""
    return word[:STEM]


def weight(stemmed: str) -> float:
    """Longer words say more: a stand-in for rarity that needs no corpus."""
    return float(len(stemmed)) if len(stemmed) > 2 else 0.5


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 1.0
