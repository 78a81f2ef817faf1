"""What every chunking guarantees, on any text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_assets.corpus import Chunking
from rag_assets.errors import ConfigurationError
from rag_assets.ingest.chunking.chunker import Chunk, Chunker, embedded_text
from rag_assets.ingest.chunking.tokens import CharacterCounter, TokenCounter, TokenizerCounter
from rag_assets_tests.ingest.chunking.markdown import documents

LIMITS = st.sampled_from([16, 24, 64, 254])


class Doubtful:
    """A counter whose counts never add up as the chunker hopes: every text costs one token more."""

    identity = "doubtful"
    additive = False

    def __init__(self, inner: TokenCounter) -> None:
        self._inner = inner

    def count(self, texts: Sequence[str]) -> list[int]:
        counts = self._inner.count(texts)
        return [count + text.count("\n") // 2 for count, text in zip(counts, texts, strict=True)]


def check(document: str, chunks: list[Chunk], counter: TokenCounter, limit: int, include: bool) -> None:
    covered = bytearray(len(document))
    for chunk in chunks:
        assert chunk.text == document[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip() != ""
        covered[chunk.start : chunk.end] = b"1" * (chunk.end - chunk.start)
    assert all(mark or character.isspace() for mark, character in zip(covered, document, strict=True))
    counts = counter.count([embedded_text(chunk, include) for chunk in chunks])
    assert counts == [chunk.tokens for chunk in chunks]
    assert max(counts, default=0) <= limit
    for before, after in pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end


@settings(max_examples=300, deadline=None)
@given(document=documents(), limit=LIMITS, include=st.booleans(), overlap=st.sampled_from([0, 0, 5, 8]))
def test_nothing_is_lost_and_nothing_is_too_long(
    minilm: TokenizerCounter, document: str, limit: int, include: bool, overlap: int
) -> None:
    config = Chunking(max_tokens=limit, include_headings=include, overlap_tokens=overlap)
    counters: list[TokenCounter] = [minilm, CharacterCounter(), Doubtful(CharacterCounter())]
    for counter in counters:
        [chunks] = Chunker(config, counter, None).chunk([document])
        check(document, chunks, counter, limit, include)
        if not overlap:
            assert all(before.end <= after.start for before, after in pairwise(chunks))


@settings(max_examples=100, deadline=None)
@given(batch=st.lists(documents(), max_size=4))
def test_the_batch_has_no_influence(minilm: TokenizerCounter, batch: list[str]) -> None:
    chunker = Chunker(Chunking(max_tokens=48, overlap_tokens=6), minilm, 254)
    assert chunker.chunk(batch) == [chunker.chunk([text])[0] for text in batch]


@settings(max_examples=100, deadline=None)
@given(document=documents())
def test_every_token_of_the_document_reaches_a_chunk(minilm: TokenizerCounter, document: str) -> None:
    [chunks] = Chunker(Chunking(max_tokens=64), minilm, None).chunk([document])
    # A word that is cut may have more tokens in its parts than as a whole, never fewer words.
    whole = minilm.count([document])[0]
    parts = sum(minilm.count([chunk.text for chunk in chunks]))
    if all(document[chunk.start - 1].isspace() for chunk in chunks if chunk.start):
        assert parts == whole


@pytest.mark.parametrize("document", ["", "\n\n \t\n", "\u00a0\u2003"])
def test_a_blank_document_has_no_chunks(minilm: TokenizerCounter, document: str) -> None:
    assert Chunker(Chunking(), minilm, 254).chunk([document, "word"])[0] == []


def test_an_empty_batch_is_fine(minilm: TokenizerCounter) -> None:
    assert Chunker(Chunking(), minilm, 254).chunk([]) == []


def test_a_word_longer_than_the_limit_is_divided(minilm: TokenizerCounter) -> None:
    document = "x1Y2" * 5000
    [chunks] = Chunker(Chunking(max_tokens=32), minilm, None).chunk([document])
    check(document, chunks, minilm, 32, True)
    assert "".join(chunk.text for chunk in chunks) == document


def test_chunks_above_the_window_are_refused(minilm: TokenizerCounter) -> None:
    with pytest.raises(ConfigurationError, match=r"is 300, but the embedder takes 254"):
        Chunker(Chunking(max_tokens=300), minilm, 254)


def test_a_window_that_the_prefix_has_used_up_is_refused(minilm: TokenizerCounter) -> None:
    with pytest.raises(ConfigurationError, match="takes 3 tokens"):
        Chunker(Chunking(), minilm, 3)


def test_an_overlap_of_more_than_half_a_chunk_is_refused(minilm: TokenizerCounter) -> None:
    with pytest.raises(ConfigurationError, match="lower it to 127"):
        Chunker(Chunking(overlap_tokens=128), minilm, 254)


@pytest.mark.parametrize(
    ("settings", "window", "expected"),
    [({}, 254, 254), ({}, None, 256), ({"max_tokens": 100}, 254, 100), ({"max_tokens": 900}, None, 900)],
)
def test_the_limit_is_the_setting_else_the_window_else_256(
    minilm: TokenizerCounter, settings: dict[str, int], window: int | None, expected: int
) -> None:
    assert Chunker(Chunking.model_validate(settings), minilm, window).max_tokens == expected


def test_the_fingerprint_follows_what_chunks_depend_on(minilm: TokenizerCounter) -> None:
    def fingerprint(counter: TokenCounter = minilm, window: int | None = 254, **settings: object) -> str:
        return Chunker(Chunking.model_validate(settings), counter, window).fingerprint

    assert fingerprint() == fingerprint(max_tokens=254)
    different = [
        fingerprint(),
        fingerprint(max_tokens=200),
        fingerprint(window=128),
        fingerprint(overlap_tokens=10),
        fingerprint(include_headings=False),
        fingerprint(CharacterCounter()),
        fingerprint(CharacterCounter(3)),
    ]
    assert len(set(different)) == len(different)


def test_real_documents_keep_every_promise(minilm: TokenizerCounter, shared_data: Path) -> None:
    folder = shared_data / "retrieval" / "chunking-spans" / "corpora"
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))]
    for overlap in (0, 30):
        chunker = Chunker(Chunking(overlap_tokens=overlap), minilm, 254)
        for text, chunks in zip(texts, chunker.chunk(texts), strict=True):
            check(text, chunks, minilm, 254, True)
