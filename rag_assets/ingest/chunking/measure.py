"""Sections as units that fit: every block counted once, in one batch for many documents.

outlines → counts of all blocks → cuts of those that are too long → units with their tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag_assets.ingest.chunking.context import Context
from rag_assets.ingest.chunking.cuts import CHARACTERS_PER_TOKEN, Part, cut_to_budget
from rag_assets.ingest.chunking.outline import Section
from rag_assets.ingest.chunking.tokens import TokenCounter

Contexts = Mapping[tuple[str, ...], Context]


@dataclass(slots=True)
class Measured:
    """A section cut into units; each reaches to the start of the next.

    Attributes:
        section: where the units come from.
        starts: offset of each unit.
        tokens: length of each unit; none but a free one is above the budget.
        free: this many leading headings need no room when units are packed, for the budget leaves
            it already: so a heading is never parted from what it announces.
        budget: tokens of the other units that one chunk may have.
        exact: the tokens of units add up to those of a chunk, without counting again.
    """

    section: Section
    starts: list[int]
    tokens: list[int]
    free: int
    budget: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """Measures sections for chunks of at most ``max_tokens``, of which ``overlap`` may be repetition."""

    counter: TokenCounter
    max_tokens: int
    overlap: int

    def sections(
        self, texts: Sequence[str], outlines: Sequence[Sequence[Section]], contexts: Contexts
    ) -> list[list[Measured]]:
        """The sections of every text, measured."""
        # A longer block is cut anyway: it is counted afterwards, part by part.
        longest = CHARACTERS_PER_TOKEN * self.max_tokens
        pieces: list[str] = []
        for text, sections in zip(texts, outlines, strict=True):
            for section in sections:
                pieces += [text[start : min(end, start + longest)] for start, end in section.blocks()]
        counts = self.counter.count(pieces)
        documents: list[list[Measured]] = []
        cut: list[tuple[Measured, dict[int, Part]]] = []
        first = 0
        for text, sections in zip(texts, outlines, strict=True):
            document: list[Measured] = []
            for section in sections:
                tokens = counts[first : first + len(section.starts)]
                first += len(tokens)
                free, budget = self._budget(section, tokens, contexts)
                item = Measured(section, section.starts, tokens, free, budget, self.counter.additive)
                document.append(item)
                if max(tokens) > budget or section.end - section.starts[0] > longest:
                    parts = {
                        index: Part(text, start, end, budget, section.inner)
                        for index, (start, end) in enumerate(section.blocks())
                        if index >= free and (tokens[index] > budget or end - start > longest)
                    }
                    cut.append((item, parts))
            documents.append(document)
        cut_to_budget([part for _, parts in cut for part in parts.values()], self.counter)
        for item, parts in cut:
            _replace(item, parts)
        return documents

    def _budget(self, section: Section, tokens: Sequence[int], contexts: Contexts) -> tuple[int, int]:
        above, here = contexts[section.base].tokens, contexts[section.path].tokens
        free = section.headings
        heading = sum(tokens[:free])
        if heading > self.max_tokens // 4:
            free = heading = 0
        return free, self.max_tokens - max(above + heading, here + self.overlap)


def _replace(item: Measured, parts: Mapping[int, Part]) -> None:
    """Put the leaves of cut blocks in the place of their blocks."""
    starts: list[int] = []
    tokens: list[int] = []
    for index, (start, length) in enumerate(zip(item.starts, item.tokens, strict=True)):
        if index not in parts:
            starts.append(start)
            tokens.append(length)
            continue
        leaves = parts[index].leaves()
        starts += [leaf.start for leaf in leaves]
        tokens += [leaf.tokens for leaf in leaves]
        # What was cut inside a word does not add up.
        item.exact &= all(leaf.text[leaf.start - 1] in " \t\r\n" for leaf in leaves[1:])
    item.starts, item.tokens = starts, tokens
