"""Repetition: a chunk that goes on inside a section starts a little before the last one ended.

spans → tails of the spans before → one count of their words → earlier starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from rag_assets.ingest.chunking.cuts import CHARACTERS_PER_TOKEN, SENTENCE_END
from rag_assets.ingest.chunking.spans import Span
from rag_assets.ingest.chunking.tokens import TokenCounter

_WORD = re.compile(r"(?<=[ \t\r\n])\S[^ \t\r\n]*[ \t\r\n]*")
_OPENS_SENTENCE = re.compile(rf"(?:\n|{SENTENCE_END})[ \t\r\n]*\Z")


def overlap(
    texts: Sequence[str], documents: Sequence[Sequence[Span]], counter: TokenCounter, limit: int
) -> None:
    """Let spans that continue a section start up to ``limit`` tokens earlier.

    They start at the first sentence or line within the limit, else at the first word. Section
    boundaries are never crossed, and no span repeats the whole of the one before.
    """
    tails: list[tuple[str, Span, list[re.Match[str]]]] = []
    for text, spans in zip(texts, documents, strict=True):
        for before, span in pairwise(spans):
            if span.continues:
                start = max(before.start + 1, span.start - CHARACTERS_PER_TOKEN * limit)
                tails.append((text, span, list(_WORD.finditer(text, start, span.start))))
    counts = iter(counter.count([word.group() for _, _, words in tails for word in words]))
    for text, span, words in tails:
        lengths = [next(counts) for _ in words]
        within: list[int] = []
        total = 0
        for word, length in zip(reversed(words), reversed(lengths), strict=True):
            total += length
            if total > limit:
                break
            within.append(word.start())
        if within:
            sentences = [start for start in within if _OPENS_SENTENCE.search(text, max(0, start - 80), start)]
            span.start = min(sentences or within)
            span.tokens = None
