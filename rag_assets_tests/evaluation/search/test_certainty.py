"""Worse, better or noise, and how many questions would tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.evaluation.search.certainty import LEAST_QUESTIONS, certainty, questions_to_see


@pytest.mark.parametrize(
    ("deltas", "says"),
    [
        ([-0.5] * 8 + [0.0] * 8, "worse"),
        ([0.5] * 8 + [0.0] * 8, "better"),
        ([0.5, -0.5] * 10, "noise"),
        ([0.0] * 20, "noise"),
        ([-1.0] * 9, "too few questions"),
    ],
)
def test_a_difference_is_called_what_it_is(deltas: list[float], says: str) -> None:
    assert certainty(np.array(deltas), 500)[0] == says


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0, 1))
def test_a_larger_change_never_needs_more_questions(deltas: list[float], change: float) -> None:
    found = np.array(deltas)
    assert questions_to_see(change, found) >= questions_to_see(min(1.0, change * 2), found) >= LEAST_QUESTIONS


def test_the_number_of_questions_is_that_of_the_formula() -> None:
    deltas = np.array([0.5, -0.5] * 50)
    spread = float(np.std(deltas, ddof=1))
    assert questions_to_see(0.1, deltas) == int(np.ceil((1.96 * spread / 0.1) ** 2))
