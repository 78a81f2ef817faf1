"""Searching a pinned version: filters, odd input, ties and fusion."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets import open_published
from rag_assets.corpus import Mode
from rag_assets.errors import InvalidQuery, RagAssetsError
from rag_assets.index.hit import Hit
from rag_assets.index.open import open_search
from rag_assets.index.search import RRF_K, fuse
from rag_assets.publication.reader import PublishedIndex
from rag_assets_tests.workspace import Workspace

MODES: tuple[Mode, ...] = ("vector", "text", "hybrid")


@pytest.fixture(scope="module")
def reader(published: Workspace) -> PublishedIndex:
    return open_published(published.name, published.store)


@pytest.mark.parametrize("mode", MODES)
def test_the_right_document_comes_first(reader: PublishedIndex, mode: Mode) -> None:
    first = reader.search("Which birds swim in cold water?", 3, mode)[0]
    assert first.document_id == "penguins.md"
    assert first.text.endswith("Penguins swim in cold water.")
    assert first.heading_path == ("Penguins",)
    assert first.uri.endswith("penguins.md")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("tenant = 'b'", {"owls.md", "same1.md", "same2.md", "same3.md"}),
        ("tenant = 'a''b'", {"it's a 'quoted' \"name\".md"}),
        ("year >= 2025", {"owls.md"}),
        ("price < 2", {"penguins.md"}),
        ("draft", {"owls.md"}),
        ("array_has(labels, 'bird')", {"penguins.md", "owls.md"}),
        ("array_has_any(labels, ['cold', 'hot'])", {"penguins.md"}),
        ("document_id IN ('owls.md', 'twice.md')", {"owls.md", "twice.md"}),
        ("tenant = 'nobody'", set()),
    ],
)
def test_a_filter_holds_for_every_hit(
    reader: PublishedIndex, mode: Mode, where: str, expected: set[str]
) -> None:
    hits = reader.search("penguins owls quotes same repeated paragraph night", 50, mode, where)
    found = {hit.document_id for hit in hits}
    assert found <= expected
    if mode != "text":
        assert found == expected, "filtered before the search, not after it"


def test_one_tenant_never_sees_another(reader: PublishedIndex) -> None:
    for text in ("Owls hunt at night.", "The very same paragraph stands in four documents."):
        for mode in MODES:
            for k in (1, 2, 50):
                hits = reader.search(text, k, mode, "tenant = 'a'")
                assert {hit.document_id for hit in hits} <= {"penguins.md", "same4.md"}
    best = reader.search("The very same paragraph stands in four documents.", 1, "text", "tenant = 'a'")
    assert [hit.document_id for hit in best] == ["same4.md"], "three better-placed hits belong to others"


@pytest.mark.parametrize("mode", MODES)
def test_ties_are_broken_by_chunk_id_whatever_k_is(reader: PublishedIndex, mode: Mode) -> None:
    text = "The very same paragraph stands in four documents."
    ranked = [hit.chunk_id for hit in reader.search(text, 4, mode)]
    assert ranked == sorted(ranked)
    for k in (1, 2, 3):
        assert [hit.chunk_id for hit in reader.search(text, k, mode)] == ranked[:k]


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_query_finds_nothing_by_words_and_raises_nothing(reader: PublishedIndex, text: str) -> None:
    assert reader.search(text, 3, "text") == []
    for mode in MODES:
        assert len(reader.search(text, 3, mode)) <= 3


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.text(max_size=40), st.text(alphabet="'\"\\;()[]{}*?~^:+-!&|AND OR NOT%_\x00 ", max_size=20)
    )
)
def test_a_question_is_never_syntax(reader: PublishedIndex, text: str) -> None:
    for mode in MODES:
        assert len(reader.search(text, 5, mode)) <= 5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "k", [0, -1, -5, 10_001, 10**12, 2**63, pytest.param(10**5000, id="many digits"), True, 2.0, "3", None]
)
def test_a_number_of_hits_that_cannot_be_is_the_callers_mistake(
    reader: PublishedIndex, mode: Mode, k: Any
) -> None:
    with pytest.raises(InvalidQuery, match="k is expected to be a whole number from 1 to 10,000"):
        reader.search("penguins", k, mode)


@pytest.mark.parametrize("mode", ["fuzzy", "", None, 1, "Vector", []])
def test_a_mode_that_does_not_exist_is_the_callers_mistake(reader: PublishedIndex, mode: Any) -> None:
    with pytest.raises(InvalidQuery, match="one of vector, text, hybrid"):
        reader.search("penguins", 5, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", [None, 7, b"penguins", "x" * 100_001])
def test_a_question_that_is_no_text_or_too_long_is_the_callers_mistake(
    reader: PublishedIndex, mode: Mode, text: Any
) -> None:
    with pytest.raises(InvalidQuery, match="the question"):
        reader.search(text, 5, mode)


ODD = {
    "half a character": "penguins \ud800 swim",
    "bytes that are no UTF-8": "penguins \udcff swim",
    "null": "penguins\0 swim",
    "stop words": "the of and",
    "punctuation": "?!",
    "a word of a megabyte, nearly": "x" * 100_000,
    "many words": " ".join(f"w{number}" for number in range(15_000)),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_question_is_an_ordinary_one_in_every_mode_alone_and_among_others(
    published: Workspace, reader: PublishedIndex, name: str
) -> None:
    together = open_search(published.pipeline()[0].context, reader.publication.version)
    for mode in MODES:
        alone = [hit.chunk_id for hit in reader.search(ODD[name], 5, mode)]
        found = together(["owls", ODD[name], " ", ""], mode, 5)
        assert [len(hits) for hits in found[2:]] == [0, 0]
        assert [hit.chunk_id for hit in found[1]] == alone
        assert found[0], "one odd question spoils no other"
        assert alone or mode == "text"


def test_searching_many_questions_refuses_what_searching_one_does(
    published: Workspace, reader: PublishedIndex
) -> None:
    together = open_search(published.pipeline()[0].context, reader.publication.version)
    wrong: list[tuple[Any, Any, Any]] = [
        (["owls", "x" * 100_001], "text", 5),
        (["owls"], "hybrid", -1),
        (["owls"], "x", 5),
    ]
    for texts, mode, k in wrong:
        with pytest.raises(InvalidQuery):
            together(texts, mode, k)


@pytest.mark.parametrize("text", ['"quotes"', "O'Brien", "O'Brien's \"quotes\"", "quotes -- and; semicolons"])
def test_quotes_are_words(reader: PublishedIndex, text: str) -> None:
    assert reader.search(text, 1, "text")[0].document_id == "it's a 'quoted' \"name\".md"


def test_a_wrong_condition_is_explained(reader: PublishedIndex) -> None:
    with pytest.raises(RagAssetsError, match="colour"):
        reader.search("penguins", 3, "vector", "colour = 'red'")


def test_headings_are_searched_by_words(reader: PublishedIndex) -> None:
    assert {hit.document_id for hit in reader.search("part", 5, "text")} == {"twice.md"}


rankings = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8), max_size=3)


def hits(ids: list[str]) -> list[Hit]:
    return [Hit(name, f"{name}.md", name, (), 1.0) for name in ids]


@given(rankings)
def test_fusion_ranks_each_hit_once_by_its_reciprocal_ranks(ranked: list[list[str]]) -> None:
    fused = fuse([hits(ids) for ids in ranked])
    scores = {
        name: sum(1 / (RRF_K + ids.index(name) + 1) for ids in ranked if name in ids)
        for name in {name for ids in ranked for name in ids}
    }
    assert [hit.chunk_id for hit in fused] == sorted(scores, key=lambda name: (-scores[name], name))
    for hit in fused:
        assert hit.score == pytest.approx(scores[hit.chunk_id])


@given(rankings)
def test_fusion_does_not_depend_on_the_order_of_the_legs(ranked: list[list[str]]) -> None:
    forward = [hit.chunk_id for hit in fuse([hits(ids) for ids in ranked[:2]])]
    assert forward == [hit.chunk_id for hit in fuse([hits(ids) for ids in reversed(ranked[:2])])]


def test_first_in_both_legs_is_first() -> None:
    assert fuse([hits(["a", "b", "c"]), hits(["a", "c", "b"])])[0].chunk_id == "a"
