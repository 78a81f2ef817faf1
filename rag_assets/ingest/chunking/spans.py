"""From measured sections to the stretches of a document that become its chunks.

sections → small neighbours joined, long ones divided → spans without white space at their ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from rag_assets.ingest.chunking.cuts import middle
from rag_assets.ingest.chunking.measure import Contexts, Measured
from rag_assets.ingest.chunking.packing import Size, join, pack


@dataclass(slots=True)
class Span:
    """A chunk in the making.

    Attributes:
        start: its first character, never white space.
        end: the character after its last.
        path: titles of the headings that all of it stands under.
        named: the part of the path that goes into its context: without headings that it opens with.
        tokens: length of context and text; None as long as they have to be counted.
        continues: it goes on where the span before stopped, inside the same section.
    """

    start: int
    end: int
    path: tuple[str, ...]
    named: tuple[str, ...]
    tokens: int | None
    continues: bool = False


def spans(text: str, sections: Sequence[Measured], contexts: Contexts, max_tokens: int) -> list[Span]:
    """The spans of one document; every character that is not white space is in one of them."""
    sizes = [
        Size(item.section.path, item.section.base, sum(item.tokens), contexts[item.section.base].tokens)
        for item in sections
    ]
    found: list[Span] = []
    for first, after in pairwise([*join(sizes, max_tokens), len(sections)]):
        opening, size = sections[first], sizes[first]
        if after - first == 1 and size.context + size.tokens > max_tokens:
            found += _divided(opening, contexts)
            continue
        group = sections[first:after]
        path = opening.section.path if len(group) == 1 else _shared([item.section.path for item in group])
        exact = all(item.exact for item in group)
        tokens = size.context + sum(one.tokens for one in sizes[first:after]) if exact else None
        found.append(Span(opening.starts[0], group[-1].section.end, path, size.base, tokens))
    return _trimmed(text, found)


def halved(text: str, span: Span, contexts: Contexts) -> list[Span]:
    """A span that turned out too long, as two; both must be counted."""
    cut = span.start + middle(text[span.start : span.end])
    rest = span.path if span.path in contexts else span.named
    first = replace(span, end=cut, tokens=None)
    return _trimmed(text, [first, Span(cut, span.end, span.path, rest, None, continues=True)])


def _divided(item: Measured, contexts: Contexts) -> list[Span]:
    section = item.section
    firsts = pack([0] * item.free + item.tokens[item.free :], item.budget)
    found = []
    for first, after in pairwise([*firsts, len(item.tokens)]):
        named = section.path if first else section.base
        tokens = contexts[named].tokens + sum(item.tokens[first:after]) if item.exact else None
        end = item.starts[after] if after < len(item.starts) else section.end
        found.append(Span(item.starts[first], end, section.path, named, tokens, continues=first > 0))
    return found


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(paths), max(paths)
    depth = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return first[:depth]


def _trimmed(text: str, found: Sequence[Span]) -> list[Span]:
    """Spans without white space at their ends; what is nothing else is dropped."""
    kept = []
    for span in found:
        piece = text[span.start : span.end]
        stripped = piece.lstrip()
        if stripped:
            span.start = span.end - len(stripped)
            span.end = span.start + len(stripped.rstrip())
            kept.append(span)
    return kept
