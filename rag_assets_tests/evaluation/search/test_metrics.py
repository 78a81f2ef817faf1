"""Metrics against hand-computed values and against trec_eval."""

from __future__ import annotations

from math import log2

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.evaluation.search.metrics import DEFAULT_METRICS, compute, parse_metric, with_defaults

NAMES = ("recall@1", "recall@3", "recall@10", "success@1", "success@5", "ndcg@3", "ndcg@10", "ndcg@20", "mrr")
Ranks = list[int | None]


def values(ranks: Ranks, *names: str) -> list[float]:
    frame = compute(pl.Series([ranks], dtype=pl.List(pl.Int64)), names)
    return [frame[name].item() for name in names]


@pytest.mark.parametrize(
    ("ranks", "name", "value"),
    [
        ([1], "recall@1", 1.0),
        ([2], "recall@1", 0.0),
        ([1, 4, None], "recall@3", 1 / 3),
        ([1, 4, None], "recall@4", 2 / 3),
        ([4, 9], "success@3", 0.0),
        ([4, 9], "success@4", 1.0),
        ([4, 2], "mrr", 0.5),
        ([None], "mrr", 0.0),
        ([1], "ndcg@10", 1.0),
        ([3], "ndcg@10", 0.5),
        ([None, None], "ndcg@10", 0.0),
        ([2, 3], "ndcg@10", (1 / log2(3) + 1 / log2(4)) / (1 + 1 / log2(3))),
        ([11], "ndcg@10", 0.0),
        # More targets than places: the best possible is a full list.
        ([1, 2, None], "ndcg@2", 1.0),
        # One chunk that holds two passages is as good as two chunks that hold one each.
        ([1, 1], "ndcg@10", 1.0),
        ([2, 2], "ndcg@10", (1 / log2(3) + 1 / log2(4)) / (1 + 1 / log2(3))),
        ([2, 2], "recall@2", 1.0),
    ],
)
def test_a_metric_has_the_value_computed_by_hand(ranks: Ranks, name: str, value: float) -> None:
    assert values(ranks, name) == pytest.approx([value], abs=1e-12)


def test_many_questions_at_once_keep_their_order() -> None:
    frame = compute(pl.Series([[2], [None], [1, 1], [1]], dtype=pl.List(pl.Int64)), ["mrr", "recall@1"])
    assert frame.rows() == [(0.5, 0.0), (0.0, 0.0), (1.0, 1.0), (1.0, 1.0)]


def test_no_questions_give_no_rows() -> None:
    assert compute(pl.Series([], dtype=pl.List(pl.Int64)), ["mrr"]).schema == {"mrr": pl.Float64}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(st.integers(1, 30), max_size=8), st.integers(0, 4)).filter(
            lambda q: len(q[0]) + q[1] > 0
        ),
        min_size=1,
        max_size=6,
    )
)
def test_values_agree_with_trec_eval(questions: list[tuple[set[int], int]]) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    translated = {
        name: ir_measures.parse_measure(
            name.replace("recall", "R")
            .replace("ndcg", "nDCG")
            .replace("success", "Success")
            .replace("mrr", "RR")
        )
        for name in NAMES
    }
    judged = [
        ir_measures.Qrel(str(number), f"d{document}", 1)
        for number, (found, missing) in enumerate(questions)
        for document in [*found, *range(100, 100 + missing)]
    ]
    run = [
        ir_measures.ScoredDoc(str(number), f"d{rank}", 100.0 - rank)
        for number in range(len(questions))
        for rank in range(1, 31)
    ]
    expected = {
        (m.query_id, str(m.measure)): m.value for m in ir_measures.iter_calc(translated.values(), judged, run)
    }
    ranks = [[*found, *[None] * missing] for found, missing in questions]
    frame = compute(pl.Series(ranks, dtype=pl.List(pl.Int64)), NAMES)
    for name, measure in translated.items():
        for number, value in enumerate(frame[name]):
            assert value == pytest.approx(expected[str(number), str(measure)], abs=1e-9), name


@given(st.lists(st.none() | st.integers(1, 40), min_size=1, max_size=8), st.data())
def test_a_better_rank_never_lowers_a_metric_and_none_leaves_zero_to_one(
    ranks: Ranks, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(ranks) - 1))
    better = list(ranks)
    better[place] = data.draw(st.integers(1, ranks[place] or 41))
    before, after = values(ranks, *NAMES), values(better, *NAMES)
    assert all(low <= high + 1e-12 for low, high in zip(before, after, strict=True))
    assert all(0 <= value <= 1 + 1e-12 for value in (*before, *after))


@pytest.mark.parametrize("name", ["recall", "recall@0", "map@10", "MRR", "mrr@10", ""])
def test_an_unknown_metric_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="allowed are recall@k"):
        parse_metric(name)


def test_metrics_that_rules_name_join_the_default_ones_once() -> None:
    assert with_defaults(["ndcg@20", "mrr"]) == (*DEFAULT_METRICS, "ndcg@20")
