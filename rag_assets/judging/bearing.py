"""From which similarity with a question a text bears on it.

The thresholds and what they reach stand in ``bearing.json``, which ``python -m benchmarks.relevancy`` chooses on one
half of sets in which people say what is relevant, and measures on the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Bearing:
    """One relevancy metric.

    Attributes:
        threshold: cosine of a sentence and the question from which it bears on it.
        reliability: what was measured on the other half, by set.
    """

    threshold: float
    reliability: Mapping[str, Any]


@cache
def bearings() -> Mapping[str, Bearing]:
    """By metric."""
    found = json.loads((files("rag_assets.judging") / "bearing.json").read_text(encoding="utf-8"))
    return {metric: Bearing(**one) for metric, one in found.items()}
