"""compare() decides from two listings what has to be read."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.errors import ConfigurationError
from rag_assets.ingest.sources import compare

listings = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["1", "2", None]))


def frame(listing: dict[str, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"document_id": [*listing], "version": [*listing.values()]},
        schema={"document_id": pl.String, "version": pl.String},
    )


@pytest.mark.parametrize(
    ("now", "before", "new", "changed", "unchanged", "vanished"),
    [
        ({}, {}, [], [], [], []),
        ({"b": "1", "a": "1"}, {}, ["b", "a"], [], [], []),
        ({}, {"a": "1"}, [], [], [], ["a"]),
        ({"a": "1"}, {"a": "1"}, [], [], ["a"], []),
        ({"a": "2"}, {"a": "1"}, [], ["a"], [], []),
        ({"a": "1"}, {"a": None}, [], ["a"], [], []),
        ({"moved": "1", "kept": "1"}, {"old": "1", "kept": "1"}, ["moved"], [], ["kept"], ["old"]),
    ],
)
def test_each_document_is_new_changed_unchanged_or_vanished(
    now: dict[str, str | None],
    before: dict[str, str | None],
    new: list[str],
    changed: list[str],
    unchanged: list[str],
    vanished: list[str],
) -> None:
    found = compare(frame(now), frame(before))
    assert found.new.to_list() == new
    assert found.changed.to_list() == changed
    assert found.unchanged.to_list() == unchanged
    assert found.vanished.to_list() == vanished


@given(listings, listings)
def test_every_id_is_in_exactly_one_set(now: dict[str, str | None], before: dict[str, str | None]) -> None:
    found = compare(frame(now), frame(before))
    sets = [found.new.to_list(), found.changed.to_list(), found.unchanged.to_list(), found.vanished.to_list()]
    assert sorted(name for names in sets for name in names) == sorted(now.keys() | before.keys())
    assert all(now[name] == before[name] for name in sets[2])


@given(listings)
def test_a_listing_against_itself_changes_nothing_unless_a_version_is_unknown(
    now: dict[str, str | None],
) -> None:
    found = compare(frame(now), frame(now))
    assert found.new.is_empty()
    assert found.vanished.is_empty()
    assert set(found.changed) == {name for name, version in now.items() if version is None}


def test_an_id_that_two_sources_give_is_a_mistake_in_the_corpus_file() -> None:
    twice = pl.concat([frame({"a": "1"}), frame({"a": "1"})])
    with pytest.raises(ConfigurationError, match="'a' comes from two places"):
        compare(twice, frame({}))
