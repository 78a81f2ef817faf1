"""Near duplicates are what shares nine tenths of its five-word runs, estimated from signatures."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.quality.duplicates import SLOTS, near_duplicates, signatures, words
from rag_assets_tests.quality.samples import prose


def found(texts: list[str]) -> list[bool]:
    signed = signatures(words(pl.Series(texts)))
    matrix = np.frombuffer(b"".join(signed.drop_nulls()), dtype=np.uint8).reshape(-1, SLOTS)
    result: list[bool] = near_duplicates(matrix).tolist()
    return result


def runs(text: str) -> set[tuple[str, ...]]:
    sequence = words(pl.Series([text]))[0].to_list()
    return {tuple(sequence[start : start + 5]) for start in range(len(sequence) - 4)}


def similarity(one: str, other: str) -> float:
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


def edited(text: str, changes: int, seed: int) -> str:
    sequence = text.split()
    for place in np.random.default_rng(seed).choice(len(sequence), changes, replace=False):
        sequence[place] = f"changed{place}"
    return " ".join(sequence)


@pytest.mark.parametrize("seed", range(20))
def test_a_document_with_a_few_words_changed_is_a_near_duplicate_of_the_other(seed: int) -> None:
    original = prose(seed, 1000)
    copy = edited(original, 6, seed)
    assert similarity(original, copy) > 0.93
    assert found([original, copy, prose(99)]) == [True, True, False]


@pytest.mark.parametrize("seed", range(20))
def test_a_document_of_which_a_third_is_new_is_not(seed: int) -> None:
    original = prose(seed, 1000)
    copy = edited(original, 45, seed)
    assert similarity(original, copy) < 0.75
    assert found([original, copy]) == [False, False]


def test_documents_of_one_template_are_no_near_duplicates_however_many_there_are() -> None:
    template = prose(1, 300)
    pages = [f"{template} {prose(seed, 150)}" for seed in range(2, 202)]
    assert similarity(pages[0], pages[1]) < 0.8
    assert not any(found(pages))


def test_a_copy_is_found_among_many_documents_of_one_template() -> None:
    template = prose(1, 300)
    pages = [f"{template} {prose(seed, 150)}" for seed in range(2, 202)]
    result = found([*pages, edited(pages[17], 2, 0)])
    assert [number for number, near in enumerate(result) if near] == [17, 200]


def test_case_space_and_punctuation_make_no_difference() -> None:
    text = prose(1, 50)
    assert found([text, text.upper().replace(" ", "\n\n") + "!"]) == [True, True]


def test_scripts_without_spaces_are_compared_by_character() -> None:
    def written(seed: int) -> str:
        return "".join(chr(0x4E00 + int(code)) for code in np.random.default_rng(seed).integers(0, 2000, 400))

    text = written(1)
    assert found([text, text[:200] + "。" + text[201:], written(2)]) == [True, True, False]


def test_a_text_without_words_has_no_signature() -> None:
    assert signatures(words(pl.Series(["", " … ", "word"]))).is_null().to_list() == [True, True, False]
    assert signatures(words(pl.Series([], dtype=pl.String))).len() == 0


@given(st.lists(st.text(alphabet="ab cd.", max_size=40), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_a_signature_depends_on_its_text_alone(texts: list[str]) -> None:
    together = signatures(words(pl.Series(texts)))
    apart = [signatures(words(pl.Series([text])))[0] for text in texts]
    assert together.to_list() == apart
