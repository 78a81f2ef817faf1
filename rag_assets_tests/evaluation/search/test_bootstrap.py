"""Confidence intervals."""

from __future__ import annotations

import numpy as np
import pytest

from rag_assets.evaluation.search.bootstrap import interval


def test_the_same_values_give_the_same_interval_in_any_order() -> None:
    values = np.random.default_rng(1).random((40, 3))
    first, again = interval(values, 500), interval(values[::-1], 500)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_values_that_are_all_equal_have_an_interval_without_width() -> None:
    low, high = interval(np.full((10, 1), 0.25), 200)
    assert low.item() == high.item() == pytest.approx(0.25)


def test_the_interval_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).beta(2, 1, 150)
    reference = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=5000, rng=3
    ).confidence_interval
    low, high = interval(values[:, None], 5000)
    assert (low.item(), high.item()) == pytest.approx((reference.low, reference.high), abs=0.004)


def test_about_95_of_100_intervals_cover_the_true_mean() -> None:
    random = np.random.default_rng(4)
    trials = [interval((random.random((100, 1)) < 0.7).astype(float), 400) for _ in range(300)]
    covered = np.mean([low.item() <= 0.7 <= high.item() for low, high in trials])
    assert 0.90 <= covered <= 0.98


def test_resamples_in_several_blocks_are_as_many_as_asked_for() -> None:
    values = np.random.default_rng(5).random((60_000, 1))
    low, high = interval(values, 100)
    assert low.item() < values.mean() < high.item()
    assert high.item() - low.item() < 0.01
