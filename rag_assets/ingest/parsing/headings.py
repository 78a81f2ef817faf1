"""The headings of a Markdown text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from rag_assets.ingest.parsing.bounds import MAX_TITLE

HEAD = 4096  # characters in which nearly every document has its first heading
# What may be a heading of too many characters, found by what is rare in a text; the Markdown parser tells what it is.
_LONG = re.compile(rf"#[ \t].{{{MAX_TITLE},}}")
_UNDERLINE = re.compile(r"\n {0,3}(?:=+|-+)[ \t]*(?=\n|\Z)")


def first_heading(text: str) -> str:
    """Plain text of the first heading of any level, or ""."""
    head = text[: text.rfind("\n", 0, HEAD) + 1] if len(text) > HEAD else ""
    for heading in chain(headings(head), headings(text)):
        words = heading.split()
        if words:
            return " ".join(words)
    return ""


def long_headings(text: str) -> int:
    """How many headings have more characters than a heading path takes. Cheap for a text without any."""
    if not _has_long_line(text) or not (_LONG.search(text) or any(_underlined(text))):
        return 0
    # Underlined text of several lines opens no section.
    return sum(
        "\n" not in heading and len(" ".join(heading.split())) > MAX_TITLE for heading in headings(text)
    )


def _has_long_line(text: str) -> bool:
    start = 0
    while start + MAX_TITLE < len(text):
        # The last line break in reach: everything before it is in lines that are short enough.
        end = text.rfind("\n", start, start + MAX_TITLE + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def _underlined(text: str) -> Iterator[bool]:
    """For each line that may be underlined, whether it is too long for a heading path."""
    for line in _UNDERLINE.finditer(text):
        yield line.start() - text.rfind("\n", 0, line.start()) > MAX_TITLE


def headings(text: str) -> Iterator[str]:
    """Plain text of each heading, with its line breaks."""
    import pyromark

    parts: list[str] | None = None
    for event in pyromark.events(text):
        match event:
            case {"Start": {"Heading": _}}:
                parts = []
            case {"End": {"Heading": _}} if parts is not None:
                yield "".join(parts)
                parts = None
            case {"Text": part} | {"Code": part} if parts is not None:
                parts.append(str(part))
            case "SoftBreak" | "HardBreak" if parts is not None:
                parts.append("\n")
