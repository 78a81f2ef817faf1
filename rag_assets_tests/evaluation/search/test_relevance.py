"""Which hits find which targets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.evaluation.gold.words import words
from rag_assets.evaluation.search.relevance import find_targets
from rag_assets_tests.evaluation.samples import hit


@dataclass(frozen=True)
class Wanted:
    documents: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()


QUOTE = "the tenant may give notice three months before the end of a quarter in writing"


def test_hits_are_collapsed_to_documents_by_their_best_rank() -> None:
    hits = [hit("a"), hit("a"), hit("b"), hit("a"), hit("c")]
    assert find_targets(Wanted(documents=("c", "b", "x")), hits).ranks == (3, 2, None)


def test_a_passage_is_ranked_among_chunks() -> None:
    hits = [hit("a", "no"), hit("a", "nothing"), hit("a", f"Well, {QUOTE}.")]
    findings = find_targets(Wanted(passages=(QUOTE,)), hits)
    assert findings.ranks == (3,)
    assert findings.relevant == {2}


@pytest.mark.parametrize(
    "text",
    [
        QUOTE.upper(),
        QUOTE.replace(" ", "\n  "),
        QUOTE.replace("three months", "**three** `months`,"),
        QUOTE.replace("notice", "notice [see the long list of terms](terms.md)"),
    ],
)
def test_case_space_marks_and_links_do_not_hide_a_passage(text: str) -> None:
    assert find_targets(Wanted(passages=(QUOTE,)), [hit("a", text)]).ranks == (1,)


def test_a_passage_across_two_chunks_counts_once_both_are_seen() -> None:
    first, second = QUOTE[:40], QUOTE[40:]
    hits = [hit("a", f"before {first}"), hit("b", "other"), hit("a", f"{second} after")]
    findings = find_targets(Wanted(passages=(QUOTE,)), hits)
    assert findings.ranks == (3,)
    assert findings.relevant == {0, 2}


def test_halves_in_two_different_documents_do_not_add_up() -> None:
    hits = [hit("a", QUOTE[:40]), hit("b", QUOTE[40:])]
    assert find_targets(Wanted(passages=(QUOTE,)), hits).ranks == (None,)


def test_four_fifths_of_the_words_in_order_are_enough_and_a_bag_of_words_is_not() -> None:
    sequence = QUOTE.split()
    assert find_targets(Wanted(passages=(QUOTE,)), [hit("a", " ".join(sequence[:12]))]).ranks == (1,)
    assert find_targets(Wanted(passages=(QUOTE,)), [hit("a", " ".join(sequence[:11]))]).ranks == (None,)
    assert find_targets(Wanted(passages=(QUOTE,)), [hit("a", " ".join(reversed(sequence)))]).ranks == (None,)


def test_a_short_passage_must_stand_there_whole_and_not_inside_a_word() -> None:
    assert find_targets(
        Wanted(passages=("42 days",)), [hit("a", "142 days"), hit("a", "in 42 days.")]
    ).ranks == (2,)


def test_scripts_without_spaces_are_compared_by_character() -> None:
    assert find_targets(Wanted(passages=("猫在垫子上",)), [hit("a", "一只小猫在垫子上睡觉。")]).ranks == (1,)
    assert words("\uff32ag 2猫咪") == ("rag", "2", "猫", "咪")


def test_documents_come_before_passages_and_both_mark_hits_as_relevant() -> None:
    hits = [hit("a", QUOTE), hit("b", "x"), hit("c", "y")]
    findings = find_targets(Wanted(documents=("b",), passages=(QUOTE,)), hits)
    assert findings.ranks == (2, 1)
    assert findings.relevant == {0, 1}


def test_no_hits_find_nothing() -> None:
    assert find_targets(Wanted(documents=("a",), passages=(QUOTE,)), []).ranks == (None, None)


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.integers(0, 30))
def test_more_hits_never_change_a_rank_that_was_found(documents: list[str], cut: int) -> None:
    wanted = Wanted(documents=("a", "b"), passages=("text of c",))
    hits = [hit(document, f"text of {document}") for document in documents]
    few, many = find_targets(wanted, hits[:cut]).ranks, find_targets(wanted, hits).ranks
    assert all(short is None or short == long for short, long in zip(few, many, strict=True))
