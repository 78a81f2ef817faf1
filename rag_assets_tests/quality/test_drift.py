"""Drift is measured by the population stability index: nothing for equal shares, more for more."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.quality.documents import profile_documents
from rag_assets.quality.drift import cosine_distance, drift, grouped, stability_index
from rag_assets.quality.embeddings import profile_embeddings
from rag_assets.quality.profile import length_histogram
from rag_assets_tests.quality.samples import ENGLISH, GERMAN, document_rows, facts, prose, vector_rows

counts = st.lists(st.integers(0, 10_000), min_size=1, max_size=12).filter(any)


def test_the_index_agrees_with_the_formula_by_hand() -> None:
    # Shares of 60, 30 and 10 % against 50, 30 and 20 %: (−0.1) ln(0.5/0.6) + 0.1 ln(0.2/0.1) = 0.08755
    expected = -0.1 * math.log(0.5 / 0.6) + 0.1 * math.log(2)
    assert stability_index([600_000, 300_000, 100_000], [500_000, 300_000, 200_000]) == pytest.approx(
        expected, abs=1e-4
    )


@given(counts)
def test_equal_counts_have_no_drift(rows: list[int]) -> None:
    assert stability_index(rows, rows) == 0


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=10))
def test_drift_is_never_negative_and_the_same_both_ways(rows: list[tuple[int, int]]) -> None:
    before, after = [pair[0] for pair in rows], [pair[1] for pair in rows]
    assert stability_index(before, after) >= 0
    assert stability_index(before, after) == pytest.approx(stability_index(after, before))


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=80),
    st.lists(st.integers(1, 5000), min_size=1, max_size=80),
)
def test_grouping_loses_no_row(one: list[int], other: list[int]) -> None:
    before, after = grouped(*(length_histogram(pl.Series(lengths)) for lengths in (one, other)))
    assert (sum(before), sum(after)) == (len(one), len(other))
    assert len(before) <= 21


def test_a_new_tail_shows_beside_a_bin_that_holds_nearly_all() -> None:
    before = length_histogram(pl.Series([200] * 95 + [100] * 5))
    after = length_histogram(pl.Series([200] * 70 + [100] * 5 + [10] * 25))
    assert stability_index(*grouped(before, after)) > 0.25


def test_a_language_that_takes_over_shows_and_the_same_documents_do_not() -> None:
    english = [f"{ENGLISH} {number} {prose(number, 8)}" for number in range(40)]
    german = [f"{GERMAN} {number}" for number in range(30)]
    before = profile_documents(document_rows(english), [facts(english)])[0]
    after = profile_documents(document_rows(english[:10] + german), [facts(english[:10] + german)])[0]
    changed = drift(after, before, {"added": 30, "removed": 30})
    assert isinstance(changed["language_drift"], float) and changed["language_drift"] > 0.25
    assert (changed["added_share"], changed["removed_share"]) == (0.75, 0.75)
    same = drift(before, before, {})
    assert (same["language_drift"], same["length_drift"], same["added_share"]) == (0, 0, 0)


def test_a_corpus_that_is_about_something_else_moves_the_centroid() -> None:
    near = [[1.0, 0.1 * number, 0.0] for number in range(5)]
    far = [[0.0, 0.1 * number, 1.0] for number in range(5)]
    before, after = (profile_embeddings([vector_rows(vectors)])[0] for vectors in (near, far))
    assert drift(before, before, {})["centroid_shift"] == pytest.approx(0, abs=1e-6)
    moved = drift(after, before, {})["centroid_shift"]
    assert isinstance(moved, float) and moved > 0.5


def test_what_cannot_be_compared_has_no_distance() -> None:
    assert cosine_distance([1.0, 0.0], [1.0, 0.0, 0.0]) is None
    assert cosine_distance([], []) is None
    assert cosine_distance([1.0, 0.0], [-2.0, 0.0]) == 2


def test_an_empty_corpus_has_no_distribution_to_compare() -> None:
    empty = profile_documents(document_rows([]), [])[0]
    some = profile_documents(document_rows([prose(1)]), [facts([prose(1)])])[0]
    for found in (drift(empty, some, {"removed": 1}), drift(some, empty, {"added": 1})):
        assert found["language_drift"] is None
        assert found.get("length_drift") is None
