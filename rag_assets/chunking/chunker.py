"""Markdown → chunks that fit the embedder, in batches.

texts → outlines → one count of all blocks → cuts of long blocks → groups → chunks → proof that
every embedded text fits. A pure function of (text, fingerprint): the batch has no influence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyromark

from rag_assets import corpus
from rag_assets.chunking.context import NO_CONTEXT, Context, contexts
from rag_assets.chunking.cuts import Part, cut_to_budget, middle
from rag_assets.chunking.outline import Section, outline
from rag_assets.chunking.overlap import earlier_starts
from rag_assets.chunking.packing import Size, join, pack
from rag_assets.chunking.tokens import TokenCounter
from rag_assets.errors import ConfigurationError
from rag_assets.store.digest import fingerprint

# Raise it with every change that can move a boundary: chunks of another version are never reused.
ALGORITHM = 1
DEFAULT_MAX_TOKENS = 256  # for an embedder without a window
SMALLEST_MAX_TOKENS = 16
_WHITE_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document.

    Attributes:
        text: exactly ``document[start:end]``, without white space at either end.
        start: first character of the text in the document.
        end: the character after its last.
        heading_path: titles of the headings above everything in the chunk, outermost first.
        tokens: length of the embedded text.
        context: what stands before the text when it is embedded: the headings that the text
            does not itself open with. Empty when headings are not included.
    """

    text: str
    start: int
    end: int
    heading_path: tuple[str, ...]
    tokens: int
    context: str = ""


def embedded_text(chunk: Chunk, include_headings: bool) -> str:
    """What the embedder sees: the context and the text, or the text alone."""
    return chunk.context + chunk.text if include_headings else chunk.text


@dataclass(slots=True)
class _Measured:
    """A section cut into units that fit: ``units[i]`` reaches to ``units[i + 1]``.

    ``weights`` are the units' tokens, or 0 for a leading heading that ``budget`` already leaves
    room for, so that it is never parted from what it announces.
    """

    section: Section
    units: list[int]
    weights: list[int]
    size: int
    budget: int


@dataclass(slots=True)
class _Span:
    """A chunk in the making. ``tokens`` is None until its embedded text has been counted."""

    start: int
    end: int
    path: tuple[str, ...]
    names: tuple[str, ...]
    tokens: int | None
    continues: bool = False


class Chunker:
    """Cuts Markdown into chunks of at most ``max_tokens`` tokens, headings included."""

    def __init__(self, config: corpus.Chunking, counter: TokenCounter, window: int | None) -> None:
        """Check the settings against the embedder.

        Args:
            config: the corpus file's chunking settings.
            counter: counts as the embedder does.
            window: tokens of content that the embedder takes, without special tokens and prefix;
                None when it takes any number.

        Raises:
            ConfigurationError: the settings and the window contradict each other.
        """
        self.max_tokens = _max_tokens(config, window)
        if config.overlap_tokens > self.max_tokens // 2:
            raise ConfigurationError(
                f"chunking.overlap_tokens is {config.overlap_tokens}, more than half of a chunk of "
                f"{self.max_tokens} tokens: lower it to {self.max_tokens // 2} or less"
            )
        self._counter = counter
        self._overlap = config.overlap_tokens
        self._include_headings = config.include_headings
        self.fingerprint = fingerprint(
            {
                "algorithm": ALGORITHM,
                "parser": pyromark.__version__,
                "counter": counter.identity,
                "max_tokens": self.max_tokens,
                "overlap_tokens": config.overlap_tokens,
                "include_headings": config.include_headings,
            }
        )

    def chunk(self, texts: Sequence[str]) -> list[list[Chunk]]:
        """Chunks of each text, in order. A text of nothing but white space has none.

        Large batches are faster: all texts are counted together.
        """
        outlines = [outline(text) for text in texts]
        lines = self._contexts(outlines)
        measured = self._measured(texts, outlines, lines)
        documents = [list(self._spans(text, sections, lines)) for text, sections in zip(texts, measured, strict=True)]
        if self._overlap:
            self._overlapped(texts, documents)
        self._proven(texts, documents, lines)
        return [
            [_chunk(text, span, lines[span.names].text) for span in spans]
            for text, spans in zip(texts, documents, strict=True)
        ]

    def _contexts(self, outlines: list[list[Section]]) -> dict[tuple[str, ...], Context]:
        paths = (
            path
            for sections in outlines
            for section in sections
            for path in (section.path, section.base, section.path[: len(section.base) + 1])
        )
        if not self._include_headings:
            return dict.fromkeys(paths, NO_CONTEXT) | {(): NO_CONTEXT}
        return contexts(paths, self._counter, self.max_tokens // 4)
