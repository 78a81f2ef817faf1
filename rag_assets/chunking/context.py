"""The line above a chunk's text that says where in its document it stands.

heading path → ``A > B > C`` and a blank line, at most a quarter of a chunk long. Without it a
passage such as "Returns zero on success." could belong to any page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rag_assets.chunking.tokens import TokenCounter


@dataclass(frozen=True, slots=True)
class Context:
    """The line with its blank line, and its length in tokens."""

    text: str
    tokens: int


NO_CONTEXT = Context("", 0)


def contexts(
    paths: Iterable[tuple[str, ...]], counter: TokenCounter, limit: int
) -> dict[tuple[str, ...], Context]:
    """The context of each heading path, counted in one batch.

    One that is longer than ``limit`` tokens loses headings from the left, for the nearest say
    most; the last one left is cut at its end.
    """
    found = {(): NO_CONTEXT}
    wanted = [path for path in dict.fromkeys(paths) if path]
    lines = [_line(path) for path in wanted]
    for path, line, tokens in zip(wanted, lines, counter.count(lines), strict=True):
        found[path] = Context(line, tokens) if tokens <= limit else _shortened(path, counter, limit)
    return found


def _line(path: tuple[str, ...]) -> str:
    return " > ".join(path) + "\n\n"


def _shortened(path: tuple[str, ...], counter: TokenCounter, limit: int) -> Context:
    candidates = [_line(path[first:]) for first in range(1, len(path))]
    title = path[-1]
    while len(title) > 1:
        title = title[: len(title) * 3 // 4].rstrip()
        candidates.append(_line((title,)))
    for line, tokens in zip(candidates, counter.count(candidates), strict=True):
        if tokens <= limit:
            return Context(line, tokens)
    return NO_CONTEXT
