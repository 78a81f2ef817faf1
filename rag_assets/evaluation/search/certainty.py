"""Worse, better, or noise? What a paired difference says, and how many questions would be needed to tell.

differences per question → bootstrap interval → ``Certainty``. A gold set that is too small to see a
change of the size that matters says so, instead of calling it unchanged.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag_assets.evaluation.search.bootstrap import interval

Certainty = Literal["better", "worse", "noise", "too few questions"]
LEAST_QUESTIONS = 10
"""Below this the percentile bootstrap is far too optimistic (Efron and Tibshirani 1993, chapter 13)."""
Z = 1.96  # of a 95 % interval
LEAST_CHANGE = 0.001  # smaller ones matter to nobody


def certainty(deltas: NDArray[np.float64], samples: int) -> tuple[Certainty, float, float]:
    """What paired differences (candidate minus published) say, and their 95 % interval.

    Args:
        deltas: one per question, finite, at least one.
        samples: number of resamples.
    """
    (low,), (high,) = interval(deltas.reshape(-1, 1), samples)
    if len(deltas) < LEAST_QUESTIONS:
        return "too few questions", float(low), float(high)
    if high < 0:
        return "worse", float(low), float(high)
    return ("better" if low > 0 else "noise"), float(low), float(high)


def questions_to_see(change: float, deltas: NDArray[np.float64]) -> int:
    """Questions from which a mean change of this size would stand out of noise as strong as that of ``deltas``.

    Normal approximation of a paired comparison: n = (z · s / change)², s the standard deviation of the
    differences (Sakai, Statistical Reform in Information Retrieval?, SIGIR Forum 2014). A change below
    ``LEAST_CHANGE`` counts as that.
    """
    spread = float(np.std(deltas, ddof=1)) if len(deltas) > 1 else 0.0
    return max(LEAST_QUESTIONS, math.ceil((Z * spread / max(change, LEAST_CHANGE)) ** 2))
