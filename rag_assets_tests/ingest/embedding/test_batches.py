"""How texts are grouped into forward passes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag_assets.ingest.embedding.embedder import batches


@given(st.lists(st.integers(0, 600), max_size=80), st.integers(64, 4096), st.integers(1, 40))
def test_every_text_is_in_one_batch_and_no_batch_exceeds_its_budget(
    tokens: list[int], budget: int, largest: int
) -> None:
    found = list(batches(tokens, budget, largest))
    assert sorted(position for batch in found for position in batch) == list(range(len(tokens)))
    for batch in found:
        assert 1 <= len(batch) <= largest
        padded = len(batch) * max(tokens[position] for position in batch)
        assert len(batch) == 1 or padded <= budget


@given(st.lists(st.integers(1, 600), min_size=1, max_size=80))
def test_texts_of_similar_length_share_a_batch_longest_first(tokens: list[int]) -> None:
    lengths = [tokens[position] for batch in batches(tokens, 1024) for position in batch]
    assert lengths == sorted(tokens, reverse=True)


def test_no_texts_are_no_batches() -> None:
    assert list(batches([], 1024)) == []
