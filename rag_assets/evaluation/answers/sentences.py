"""Markdown → the statements in it: sentences of prose, list items, table rows, code blocks.

Generators quote them, judges weigh them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import segment

_WORD = re.compile(r"\w")
_FENCE = re.compile(r"^\s*(```|~~~)")
_MARK = re.compile(r"^\s*(?:#{1,6}\s+|[-*+]\s+|\d{1,3}[.)]\s+|>\s?)+")
_RULE = re.compile(r"^[\s|:=-]+$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def sentences(text: str, language: str = "en") -> list[str]:
    """The statements of a text in their order, without Markdown's marks.

    Args:
        text: Markdown or plain text.
        language: ISO 639-1 code, for abbreviations.
    """
    found: list[str] = []
    for block in _blocks(text):
        if "\n" in block:
            found.append(block)  # code stays whole
        elif block.startswith("|"):
            cells = [cell.strip() for cell in block.strip("|").split("|")]
            found.append(" | ".join(cell for cell in cells if cell))
        else:
            found += [piece.strip() for piece in segment(language, _LINK.sub(r"\1", block))]
    return [sentence for sentence in found if _WORD.search(sentence)]


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, list items and table rows as one line each; code blocks with their line breaks."""
    paragraph: list[str] = []
    code: list[str] | None = None
    for line in [*text.splitlines(), ""]:
        if _FENCE.match(line):
            if code is None:
                code = []
            else:
                yield "\n".join(code) + "\n"
                code = None
            continue
        if code is not None:
            code.append(line)
            continue
        stripped = line.strip()
        starts = bool(_MARK.match(line)) or stripped.startswith("|")
        if (starts or not stripped) and paragraph:
            yield " ".join(paragraph)
            paragraph = []
        if not stripped or _RULE.match(stripped):
            continue
        paragraph.append(_MARK.sub("", line).strip())
        if stripped.startswith(("|", "#")):
            yield " ".join(paragraph)
            paragraph = []
    if code:
        yield "\n".join(code) + "\n"
