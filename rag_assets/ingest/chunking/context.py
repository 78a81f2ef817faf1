"""The line above a chunk's text that says where in its document it stands.

heading path → ``A > B > C`` and a blank line, at most a quarter of a chunk long. Without it a
passage such as "Returns zero on success." could belong to any page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_assets.ingest.chunking.tokens import TokenCounter
from rag_assets.store.digest import digest


@dataclass(frozen=True, slots=True)
class Context:
    """The line with its blank line, and its length in tokens."""

    text: str
    tokens: int


def embedding_key(context: str, text: str) -> str:
    """Key of a chunk's vector: the hash of what is embedded, which is the context and the text."""
    return digest(context + text)


NO_CONTEXT = Context("", 0)
AT_ONCE = (
    4096  # paths; written out they may be much longer than their document, which names each heading once
)


def contexts(
    paths: Iterable[tuple[str, ...]], counter: TokenCounter, limit: int
) -> dict[tuple[str, ...], Context]:
    """The context of each heading path, counted in batches.

    One that is longer than ``limit`` tokens loses headings from the left, for the nearest say
    most; the last one left is cut at its end.
    """
    wanted = list(dict.fromkeys(paths))
    found: dict[tuple[str, ...], Context] = {}
    for start in range(0, len(wanted), AT_ONCE):
        found |= _contexts(wanted[start : start + AT_ONCE], counter, limit)
    return found


def _contexts(
    paths: Sequence[tuple[str, ...]], counter: TokenCounter, limit: int
) -> dict[tuple[str, ...], Context]:
    lines = [_line(path) for path in paths]
    found: dict[tuple[str, ...], Context] = {}
    shorter: list[tuple[tuple[str, ...], list[str]]] = []
    for path, line, tokens in zip(paths, lines, counter.count(lines), strict=True):
        found[path] = Context(line, tokens)
        if tokens > limit:
            shorter.append((path, _shorter_lines(path)))
    counts = iter(counter.count([line for _, lines in shorter for line in lines]))
    for path, lines in shorter:
        # All counts are consumed, so that the next path's come next.
        fitting = [Context(line, tokens) for line in lines if (tokens := next(counts)) <= limit]
        found[path] = next(iter(fitting), NO_CONTEXT)
    return found


def _line(path: tuple[str, ...]) -> str:
    return " > ".join(path) + "\n\n" if path else ""


def _shorter_lines(path: tuple[str, ...]) -> list[str]:
    """What may stand for a long path, longest first."""
    lines = [_line(path[first:]) for first in range(1, len(path))]
    title = path[-1]
    while len(title) > 1:
        title = title[: len(title) * 3 // 4].rstrip()
        lines.append(_line((title,)))
    return lines
