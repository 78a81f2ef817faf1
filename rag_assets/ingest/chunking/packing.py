"""Which blocks go into one chunk: pure decisions on token counts.

Both rules look only forward and start afresh at the next section, so that an edit moves no
boundary before it, and none behind the end of its section.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def pack(tokens: Sequence[int], budget: int) -> list[int]:
    """Fill chunks in order; each takes as many units as fit.

    Args:
        tokens: length of each unit; none is above the budget.
        budget: tokens that a chunk may have.

    Returns:
        Index of the first unit of every chunk.
    """
    firsts: list[int] = []
    filled = budget + 1
    for index, length in enumerate(tokens):
        filled += length
        if filled > budget:
            firsts.append(index)
            filled = length
    if len(firsts) > 1 and filled < budget // 4:
        firsts[-1] = _even(tokens, firsts[-2], budget)
    return firsts


def _even(tokens: Sequence[int], first: int, budget: int) -> int:
    """Where the units from ``first`` on divide into two most even chunks: no scrap at a section's end."""
    right = sum(tokens[first:])
    left = 0
    best, smallest = first, right
    for index in range(first, len(tokens) - 1):
        left, right = left + tokens[index], right - tokens[index]
        if max(left, right) < smallest:
            best, smallest = index + 1, max(left, right)
    return best


@dataclass(frozen=True, slots=True)
class Size:
    """A section as the packing sees it.

    Attributes:
        path: titles down to the section's own.
        base: titles above the section: what a chunk that opens with it is put under.
        tokens: length of its text, headings included.
        context: length of the line that names ``base``.
    """

    path: tuple[str, ...]
    base: tuple[str, ...]
    tokens: int
    context: int


def join(sections: Sequence[Size], max_tokens: int) -> list[int]:
    """Put small neighbouring sections into one chunk, where they stand under the same heading.

    A section joins when both it and what it joins are below half a chunk, or when it is a scrap
    (below an eighth) and there is room. Larger ones stay alone: a chunk is about one thing.

    Returns:
        Index of the first section of every group.
    """
    small, scrap = max_tokens // 2, max_tokens // 8
    firsts: list[int] = []
    filled = 0
    for index, section in enumerate(sections):
        if firsts:
            opening = sections[firsts[-1]]
            depth = len(opening.base)
            related = len(section.path) > depth and section.path[:depth] == opening.base
            fits = opening.context + filled + section.tokens <= max_tokens
            fitting_size = section.tokens < scrap or (section.tokens < small and filled < small)
            if related and fits and fitting_size:
                filled += section.tokens
                continue
        firsts.append(index)
        filled = section.tokens
    return firsts
