"""Markdown → chunks that fit the embedder, in batches.

texts → outlines → one count of all blocks → cuts of long blocks → groups → chunks → proof that
every embedded text fits. A pure function of (text, fingerprint): the batch has no influence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyromark

from rag_assets import corpus
from rag_assets.errors import ConfigurationError
from rag_assets.ingest.chunking.context import NO_CONTEXT, Context, contexts
from rag_assets.ingest.chunking.measure import Contexts, Measure
from rag_assets.ingest.chunking.outline import Section, outline
from rag_assets.ingest.chunking.overlap import overlap
from rag_assets.ingest.chunking.spans import Span, halved, spans
from rag_assets.ingest.chunking.tokens import TokenCounter
from rag_assets.store.digest import fingerprint

# Raise it with every change that can move a boundary: chunks of another version are never reused.
ALGORITHM = 2
DEFAULT_MAX_TOKENS = 256  # for an embedder without a window
SMALLEST_MAX_TOKENS = 16


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
        self._measure = Measure(counter, self.max_tokens, config.overlap_tokens)
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
        known = self._contexts(outlines)
        measured = self._measure.sections(texts, outlines, known)
        documents = [
            spans(text, sections, known, self.max_tokens)
            for text, sections in zip(texts, measured, strict=True)
        ]
        if self._measure.overlap:
            overlap(texts, documents, self._measure.counter, self._measure.overlap)
        self._prove(texts, documents, known)
        return [
            [
                Chunk(
                    text[span.start : span.end],
                    span.start,
                    span.end,
                    span.path,
                    tokens,
                    known[span.named].text,
                )
                for span in found
                if (tokens := span.tokens) is not None
            ]
            for text, found in zip(texts, documents, strict=True)
        ]

    def _contexts(self, outlines: Sequence[Sequence[Section]]) -> dict[tuple[str, ...], Context]:
        paths = {
            path for sections in outlines for section in sections for path in (section.path, section.base)
        }
        if not self._include_headings:
            return dict.fromkeys(paths, NO_CONTEXT)
        return contexts(paths, self._measure.counter, self.max_tokens // 4)

    def _prove(self, texts: Sequence[str], documents: Sequence[list[Span]], known: Contexts) -> None:
        """Count the embedded text of every span whose length is not certain; halve what is too long."""
        unproven = [
            (text, found, span)
            for text, found in zip(texts, documents, strict=True)
            for span in found
            if span.tokens is None
        ]
        while unproven:
            counts = self._measure.counter.count(
                [known[span.named].text + text[span.start : span.end] for text, _, span in unproven]
            )
            halves = []
            for (text, found, span), tokens in zip(unproven, counts, strict=True):
                span.tokens = tokens
                if tokens > self.max_tokens and span.end - span.start > 1:
                    parts = halved(text, span, known)
                    position = found.index(span)
                    found[position : position + 1] = parts
                    halves += [(text, found, part) for part in parts]
            unproven = halves


def _max_tokens(config: corpus.Chunking, window: int | None) -> int:
    if window is not None and window < SMALLEST_MAX_TOKENS:
        raise ConfigurationError(
            f"the embedder takes {window} tokens besides its prefix: a chunk needs {SMALLEST_MAX_TOKENS}"
        )
    if config.max_tokens is None:
        return DEFAULT_MAX_TOKENS if window is None else window
    if window is not None and config.max_tokens > window:
        raise ConfigurationError(
            f"chunking.max_tokens is {config.max_tokens}, but the embedder takes {window} tokens: the rest "
            f"would not be embedded. Set it to {window} or less, or leave it out"
        )
    return config.max_tokens
