"""What a target missed, as one net change per document, in pages: pure functions."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.invalidation.notice import Notice, Span, named_as_erased, net_changes, paged
from rag_assets_tests.invalidation.history import difference, frame

DOCUMENTS = [f"d{number}" for number in range(6)]
STATES = st.lists(
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 2), max_size=6), min_size=2, max_size=7
)


def net(*records: dict[str, str]) -> dict[str, str]:
    return dict(net_changes(frame(record) for record in records).iter_rows())


def pages(
    span: Span, changes: dict[str, str], erased: list[str] | None = None, size: int = 1000, epoch: str = "e"
) -> list[Notice]:
    found = net_changes([frame(changes)])
    return list(paged("c", span, found, erased or [], kind="publish", time="now", epoch=epoch, size=size))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["added"], "added"),
        (["changed"], "changed"),
        (["removed"], "removed"),
        (["changed", "changed"], "changed"),
        (["changed", "removed"], "removed"),
        (["removed", "added"], "changed"),
        (["removed", "added", "removed"], "removed"),
        # Who was ahead answered from the first one, so that adding alone would say too little.
        (["added", "changed"], "changed"),
        (["added", "removed"], "removed"),
        (["added", "removed", "added"], "changed"),
    ],
)
def test_what_happens_to_a_document_in_several_publications_is_one_change(
    steps: list[str], expected: str
) -> None:
    assert net({"b": "added"}, *({"a": step} for step in steps), {}) == {"a": expected, "b": "added"}


@given(STATES)
@settings(max_examples=300)
def test_the_net_change_is_that_of_a_replay_of_all_states(states: list[dict[str, int]]) -> None:
    found = net(*(difference(before, after) for before, after in pairwise(states)))
    end = states[-1]
    for name in DOCUMENTS:
        seen = [state.get(name) for state in states]
        # An answer from state k is wrong when the document reads differently at any later state.
        wrong = any(
            seen[k] is not None and any(later != seen[k] for later in seen[k + 1 :]) for k in range(len(seen))
        )
        forgotten = found.get(name) in ("changed", "removed")
        assert forgotten == wrong, name
        if name in found:
            assert (found[name] == "removed") == (name not in end)
        assert (found.get(name) == "added") == (not wrong and seen[0] is None and name in end)


@given(
    st.dictionaries(
        st.sampled_from([f"n{i}" for i in range(30)]), st.sampled_from(["added", "changed", "removed"])
    ),
    st.lists(st.sampled_from([f"n{i}" for i in range(40)]), unique=True),
    st.integers(1, 7),
)
def test_pages_name_every_document_once_and_are_bounded(
    changes: dict[str, str], erased: list[str], size: int
) -> None:
    found = pages(Span(1, 4, 0, 1), changes, erased, size)
    assert [notice.page for notice in found] == list(range(1, len(found) + 1))
    assert {notice.pages for notice in found} == {len(found)}
    named = [{*n.changed, *n.removed, *n.added, *n.erased} for n in found]
    assert all(len(names) <= size for names in named)
    assert sum(map(len, named)) == len(set().union(*named)) == len(changes.keys() | set(erased))
    told = {name: "changed" for n in found for name in n.changed}
    told |= {name: "removed" for n in found for name in n.removed}
    told |= {name: "added" for n in found for name in n.added}
    assert told == changes
    assert [name for n in found for name in n.erased] == erased
    assert len({notice.key for notice in found}) == len(found)


def test_erased_documents_come_first() -> None:
    found = pages(Span(1, 2, 0, 1), {"a": "changed", "z": "removed"}, ["z", "y"], 2)
    assert (found[0].erased, found[0].removed, found[1].changed) == (("z", "y"), ("z",), ("a",))
    assert found[0].forgotten == ("z", "y")


def test_the_same_span_has_the_same_keys_and_another_one_has_others() -> None:
    changes = {"a": "changed", "b": "removed"}
    keys = [notice.key for notice in pages(Span(1, 2, 0, 0), changes, size=1)]
    assert keys == [notice.key for notice in pages(Span(1, 2, 0, 0), changes, size=1)]
    for other in (Span(1, 3, 0, 0), Span(0, 2, 0, 0), Span(1, 2, 0, 1), Span(1, 2, 0, 0, everything=True)):
        assert not set(keys) & {notice.key for notice in pages(other, changes, size=1)}
    assert not set(keys) & {notice.key for notice in pages(Span(1, 2, 0, 0), changes, size=1, epoch="f")}


def test_a_notice_to_forget_everything_names_only_what_is_erased() -> None:
    (found,) = pages(Span(0, 9, 0, 3, everything=True), {"a": "changed"}, ["x"])
    assert found.everything
    assert (found.changed, found.removed, found.added, found.erased) == ((), (), (), ("x",))


def test_nothing_to_name_is_still_one_page() -> None:
    (found,) = pages(Span(1, 2, 0, 0), {})
    assert (found.page, found.pages, found.forgotten) == (1, 1, ())


@pytest.mark.parametrize(
    ("changes", "marked", "forbidden", "expected"),
    [
        ({}, ["a", "b"], ["a", "b"], ["a", "b"]),
        ({"a": "removed"}, ["a"], ["a"], ["a"]),
        # Lifted, and published with new content: its change says all.
        ({"a": "changed"}, ["a"], [], []),
        ({"a": "added"}, ["a"], [], []),
        # Lifted, and not published again yet.
        ({}, ["a"], [], ["a"]),
        ({"a": "removed"}, ["a"], [], ["a"]),
        # Marked before, and published by a run that was under way.
        ({"a": "changed", "b": "added"}, [], ["a", "b", "c"], ["a", "b"]),
        ({"a": "changed"}, ["a"], ["a"], ["a"]),
    ],
)
def test_which_documents_are_named_as_erased(
    changes: dict[str, str], marked: list[str], forbidden: list[str], expected: list[str]
) -> None:
    assert named_as_erased(frame(changes), marked, forbidden) == expected


def test_spans_join_to_the_smallest_that_holds_both() -> None:
    dead = Span(2, 4, 0, 1, everything=True)
    assert dead.joined(Span(6, 9, 1, 2)) == Span(2, 9, 0, 2, everything=True)
    assert Span(3, 3, 1, 1).empty
    assert not Span(3, 3, 0, 1).empty
    assert not Span(3, 3, 1, 1, everything=True).empty


def test_many_changes_of_large_publications_stay_bounded() -> None:
    ids = pl.Series([f"document-{number:07d}" for number in range(200_000)])
    record = pl.DataFrame({"document_id": ids, "change": ["changed"] * len(ids)})
    found = net_changes(record for _ in range(5))
    assert found.height == 200_000
    notices = paged("c", Span(0, 5, 0, 0), found, [], kind="publish", time="", epoch="", size=1000)
    assert max(len(notice.changed) for notice in notices) == 1000
