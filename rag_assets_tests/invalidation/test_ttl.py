"""How long answers may live: a pure function of how often documents changed."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.corpus.invalidation import Ttl
from rag_assets.invalidation.ttl import Ttls, adaptive_ttls, count_changes, read_ttls
from rag_assets_tests.invalidation.history import NAME, History, frame

DAY = 86_400.0
WIDE = Ttl(min_seconds=1, max_seconds=31_536_000, share=0.05)


def counts(changes: dict[str, int], since: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame(
        {"document_id": list(changes), "changes": list(changes.values()), "since": [since] * len(changes)},
        schema={"document_id": pl.String(), "changes": pl.Int64(), "since": pl.Float64()},
    )


def test_changes_are_counted_from_when_a_document_was_first_seen() -> None:
    records = [
        (10.0, frame({"a": "changed", "new": "added", "gone": "removed"})),
        (20.0, frame({"a": "changed", "new": "changed", "back": "removed"})),
        (30.0, frame({"a": "changed", "back": "added"})),
    ]
    found = {row["document_id"]: row for row in count_changes(records, 0.0).to_dicts()}
    assert {name: row["changes"] for name, row in found.items()} == {"a": 3, "new": 1, "back": 1}
    assert {name: row["since"] for name, row in found.items()} == {"a": 0.0, "new": 10.0, "back": 0.0}


def test_the_formula_is_the_one_of_the_docstring() -> None:
    # 10 documents over 100 days, 5 changes: m = 6 / 1000 per day, and 1 / m = 166.7 days.
    found = adaptive_ttls(counts({"a": 5}), 10, 0.0, 100 * DAY, WIDE)
    patience = -math.log(1 - 0.05)
    assert found.default == int(patience * (1000 / 6 + 100) * DAY)
    assert found.shorter == {"a": int(patience * (1000 / 6 + 100) * DAY / 6)}


def test_the_chance_of_a_change_within_the_ttl_is_the_share() -> None:
    found = adaptive_ttls(counts({"a": 50}), 1, 0.0, 100 * DAY, WIDE)
    rate = 51 / ((100 / 51 + 100) * DAY)
    assert 1 - math.exp(-rate * found.of(["a"])) == pytest.approx(0.05, abs=1e-4)


def test_an_answer_lives_as_long_as_the_document_that_changes_most_often() -> None:
    found = Ttls(100, {"a": 10, "b": 20})
    assert found.of(["a", "b", "c"]) == 10
    assert found.of(["b", "c"]) == 20
    assert found.of(["c"]) == found.of([]) == 100


def test_bounds_hold_and_documents_that_live_longest_are_not_kept() -> None:
    ttl = Ttl(min_seconds=3600, max_seconds=7200, share=0.05)
    found = adaptive_ttls(counts({"often": 100_000, "once": 1}), 100, 0.0, 1000 * DAY, ttl)
    assert (found.default, found.shorter) == (7200, {"often": 3600})


def test_without_time_or_documents_nothing_is_known_and_answers_live_longest() -> None:
    assert adaptive_ttls(counts({}), 10, 5.0, 5.0, WIDE) == Ttls(WIDE.max_seconds, {})
    assert adaptive_ttls(counts({}), 0, 0.0, DAY, WIDE) == Ttls(WIDE.max_seconds, {})


def test_what_is_kept_is_bounded_and_no_document_lives_too_long() -> None:
    many = {f"d{number}": number for number in range(1, 101)}
    whole = adaptive_ttls(counts(many), 200, 0.0, 100 * DAY, WIDE)
    cut = adaptive_ttls(counts(many), 200, 0.0, 100 * DAY, WIDE, kept=10)
    assert len(whole.shorter) == 100
    assert len(cut.shorter) <= 10
    for name in [*many, "other"]:
        assert cut.of([name]) <= whole.of([name])
    assert cut.of(["d100"]) == whole.of(["d100"])


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 10_000), st.floats(1.0, 1e9))
def test_more_changes_never_mean_a_longer_life(some: int, more: int, documents: int, seconds: float) -> None:
    found = adaptive_ttls(counts({"a": some, "b": some + more}), documents, 0.0, seconds, WIDE)
    assert WIDE.min_seconds <= found.of(["b"]) <= found.of(["a"]) <= found.of(["x"]) <= WIDE.max_seconds


def test_publications_tell_how_often_documents_change(history: History) -> None:
    now = datetime.now(UTC)
    assert read_ttls(history.objects, NAME, WIDE, now) == Ttls(WIDE.max_seconds, {})
    history.publish({"a": 1, "b": 1, "c": 1})
    for _ in range(5):
        history.change("a")
    # Another model: every document is called changed, none was.
    history.publish({name: n + 1 for name, n in history.now.items()}, embedder="another")
    found = read_ttls(history.objects, NAME, WIDE, now + timedelta(hours=1))
    assert found.shorter.keys() == {"a"}
    assert found.of(["a", "b"]) < found.of(["b"]) == found.default
