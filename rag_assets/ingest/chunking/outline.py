"""The outline of a Markdown document: sections by heading, and where their blocks start.

Markdown → CommonMark events (pyromark, Rust) → sections. Only offsets are kept; together the
sections cover the document from its first to its last character, so nothing can be lost later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyromark

from rag_assets.ingest.parsing.bounds import MAX_TITLE, shortened

_BLOCKS = frozenset({"Paragraph", "Item", "CodeBlock", "HtmlBlock", "BlockQuote", "List", "Heading"})


@dataclass(slots=True)
class Section:
    """One or more headings and the blocks up to the next heading; offsets count characters.

    A heading that is followed directly by a deeper one has no text of its own: both open one section.

    Attributes:
        path: titles from the top of the document down to this section's last heading, each bounded: they
            are repeated with every chunk.
        base: the same without the headings that open this section.
        headings: how many of the first blocks are headings.
        starts: where each block begins; a block reaches to the next one, blank lines included.
        end: where the section ends.
        inner: where items, paragraphs and code inside blocks begin: the best cuts of a long block.
    """

    path: tuple[str, ...]
    base: tuple[str, ...]
    headings: int
    starts: list[int]
    end: int = 0
    inner: list[int] = field(default_factory=list)

    def blocks(self) -> Iterable[tuple[int, int]]:
        """Start and end of every block."""
        return pairwise([*self.starts, self.end])


def outline(text: str) -> list[Section]:
    """Sections of a Markdown document, in order. Empty when it holds nothing but white space."""
    if not text or text.isspace():
        return []
    sections = _sections(text)
    if not text.isascii():
        _count_in_characters(sections, text)
    # What comes before the first block (blank lines, link definitions) belongs to it.
    sections[0].starts[0] = 0
    for section, following in pairwise(sections):
        section.end = following.starts[0]
    sections[-1].end = len(text)
    return sections


def _sections(text: str) -> list[Section]:
    sections: list[Section] = []
    above: list[tuple[int, str]] = []  # the open headings: level and title
    section: Section | None = None
    title: list[str] | None = None
    level = depth = start = 0
    events: Iterable[tuple[Any, Any]] = pyromark.events_with_range(text)
    for event, where in events:
        if type(event) is not dict:
            if title is not None:
                title.append("\n")
            continue
        tag = event.get("Start")
        if tag is not None:
            kind = tag if type(tag) is str else next(iter(tag))
            if depth:
                if section is not None and kind in _BLOCKS:
                    section.inner.append(where["start"])
            elif kind == "Heading":
                level, start, title = int(tag["Heading"]["level"][1]), where["start"], []
            else:
                if section is None:
                    section = Section((), (), 0, [])
                    sections.append(section)
                section.starts.append(where["start"])
            depth += 1
        elif "End" in event:
            depth -= 1
            if depth == 0 and title is not None:
                whole, title = "".join(title), None
                if "\n" in whole:
                    # CommonMark calls it a heading; in practice it is a paragraph that someone
                    # underlined without a blank line.
                    if section is None:
                        section = Section((), (), 0, [])
                        sections.append(section)
                    section.starts.append(start)
                    continue
                name = shortened(" ".join(whole.split()), MAX_TITLE)
                goes_deeper = bool(above) and level > above[-1][0]
                while above and above[-1][0] >= level:
                    above.pop()
                base = tuple(name for _, name in above if name)
                above.append((level, name))
                path = (*base, name) if name else base
                if section is not None and goes_deeper and len(section.starts) == section.headings:
                    section.path = path
                    section.headings += 1
                    section.starts.append(start)
                else:
                    section = Section(path, base, 1, [start])
                    sections.append(section)
        elif title is not None:
            title.append(event.get("Text") or event.get("Code") or "")
    return sections or [Section((), (), 0, [0])]


def _count_in_characters(sections: list[Section], text: str) -> None:
    """Turn the parser's UTF-8 byte offsets into offsets of characters."""
    data = text.encode()
    wanted = sorted({offset for section in sections for offset in (*section.starts, *section.inner)})
    characters: dict[int, int] = {}
    position = 0
    for before, offset in pairwise([0, *wanted]):
        position += len(data[before:offset].decode())
        characters[offset] = position
    for section in sections:
        section.starts = [characters[offset] for offset in section.starts]
        section.inner = [characters[offset] for offset in section.inner]
