"""Where a block that is too long may be cut: inner blocks, then lines or sentences, then halves.

long blocks → parts that fit, level by level; each level counts only what the one before left
too long, for all documents in one batch.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rag_assets.ingest.chunking.tokens import TokenCounter

# No tokenizer in use makes fewer tokens of real text, so such a part is too long without counting.
CHARACTERS_PER_TOKEN = 8
# Code, tables and HTML are cut at lines.
_VERBATIM = re.compile(r"\s*(?:```|~~~|\||<)|(?: {4}|\t)")
_LINE = re.compile(r"\n+(?=[^\n])")
# Sentences end with a mark of their own (Latin, then Chinese and Japanese) and what closes with it.
SENTENCE_END = (
    "[.!?\N{HORIZONTAL ELLIPSIS}][\"'\N{RIGHT DOUBLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK})\\]*_`]*"
)
_WIDE_SENTENCE_END = "[\N{IDEOGRAPHIC FULL STOP}\N{FULLWIDTH EXCLAMATION MARK}\N{FULLWIDTH QUESTION MARK}]+"
# Prose is cut after sentences and before the lines of a list, quotation or table.
_SENTENCE = re.compile(
    rf"{SENTENCE_END}[ \t\r\n]+(?=[^\sa-z])|{_WIDE_SENTENCE_END}(?=.)|\n+(?=[ \t]*(?:[-*+>|]|\d+[.)])[ \t])"
)
# For a part without any of those: the nearest of these to its middle.
_MIDDLES = (_LINE, _SENTENCE, re.compile(r"[ \t\r\n]+(?=\S)"))


@dataclass(slots=True)
class Part:
    """A stretch ``text[start:end]`` that must not have more than ``budget`` tokens."""

    text: str
    start: int
    end: int
    budget: int
    inner: Sequence[int] = ()
    tokens: int = 0
    parts: list[Part] = field(default_factory=list)

    def leaves(self) -> list[Part]:
        """The parts that fit, in order; together they are exactly this stretch."""
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]


def cut_to_budget(blocks: Sequence[Part], counter: TokenCounter) -> None:
    """Cut blocks that are too long until every leaf fits its budget or is one character."""
    levels = [_at_inner_blocks, _at_lines_or_sentences]
    too_long = list(blocks)
    while too_long:
        cut = levels.pop(0) if levels else _in_halves
        short: list[Part] = []
        leaves: list[Part] = []
        for part in too_long:
            part.parts = _parts(part, cut(part))
            if not part.parts:
                leaves.append(part)
            for leaf in part.parts:
                (short if _may_fit(leaf) else leaves).append(leaf)
        counts = counter.count([part.text[part.start : part.end] for part in short])
        for part, tokens in zip(short, counts, strict=True):
            part.tokens = tokens
        leaves += [part for part in short if part.tokens > part.budget]
        too_long = [part for part in leaves if part.end - part.start > 1]


def middle(text: str) -> int:
    """The best place to cut a text of two or more characters in two, never 0 and never its end."""
    half = len(text) // 2
    for boundary in _MIDDLES:
        offsets = [match.end() for match in boundary.finditer(text, len(text) // 4, len(text) * 3 // 4 + 1)]
        if offsets:
            return min(offsets, key=lambda offset: abs(offset - half))
    return half


def _may_fit(part: Part) -> bool:
    return part.end - part.start <= CHARACTERS_PER_TOKEN * part.budget


def _parts(part: Part, offsets: Sequence[int]) -> list[Part]:
    if not offsets:
        return []
    bounds = [part.start, *offsets, part.end]
    return [Part(part.text, start, end, part.budget) for start, end in pairwise(bounds)]


def _at_inner_blocks(part: Part) -> list[int]:
    # The first inner block starts where the block itself does, or behind its marker.
    first, last = bisect_left(part.inner, part.start + 1), bisect_left(part.inner, part.end)
    return sorted(set(part.inner[first:last]))


def _at_lines_or_sentences(part: Part) -> list[int]:
    boundary = _LINE if _VERBATIM.match(part.text, part.start, part.end) else _SENTENCE
    found = (match.end() for match in boundary.finditer(part.text, part.start, part.end))
    return [offset for offset in found if part.start < offset < part.end]


def _in_halves(part: Part) -> list[int]:
    return [part.start + middle(part.text[part.start : part.end])]
