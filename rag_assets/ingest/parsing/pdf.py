"""PDF → Markdown: the text layer in reading order of the file, headings by letter size.

pdfium is as good as pypdf on the documents with known text and ten times faster; pdfplumber was
behind both. A scan has no text layer and is rejected: recognition of characters is another tool.
"""

from __future__ import annotations

import ctypes
import datetime
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_assets.ingest.parsing.document import JSON, ParsedDocument, Unparseable

if TYPE_CHECKING:
    import pypdfium2  # type: ignore[import-untyped]

HEADING_SCALE = 1.15  # times the body's letter size
HEADING_WORDS = 14
PARAGRAPH_GAP = 1.6  # distance of two lines in letter sizes from which a paragraph ends
HYPHENS = ("-", "\xad", "\x02", "\ufffe", "\u2010")
# pdfium joins lines that end in a hyphen and marks the place; before a capital it was a real one.
MARKED_HYPHEN = re.compile("(?<=\\w)[\x02\ufffe](?=[^\\W_a-z])")
INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
PDF_DATE = re.compile(r"(?:D:)?(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page: its text, letter size and top in points (0 when unknown)."""

    text: str
    size: float
    top: float


def parse(data: bytes) -> ParsedDocument:
    """Text of all pages. Raises Unparseable: encrypted, no_text or corrupt."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise Unparseable("encrypted", "The PDF file is protected by a password.") from error
        raise Unparseable("corrupt", f"The PDF file cannot be opened: {error}.") from error
    try:
        pages = [_lines(document, number) for number in range(len(document))]
        info = document.get_metadata_dict(skip_empty=True)
    except pypdfium2.PdfiumError as error:
        raise Unparseable("corrupt", f"A page of the PDF file cannot be read: {error}.") from error
    finally:
        document.close()
    if not any(character.isalnum() for page in pages for line in page for character in line.text):
        raise Unparseable("no_text", f"None of the {len(pages)} pages has a text layer: probably a scan.")
    headings = _heading_levels([line for page in pages for line in page])
    blocks = [block for page in pages for block in _blocks(page, headings)]
    return ParsedDocument("\n\n".join(blocks), info.get("Title", "").strip(), _metadata(info, len(pages)))


def _lines(document: pypdfium2.PdfDocument, number: int) -> list[Line]:
    import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

    page = document[number]
    content = page.get_textpage()
    try:
        text = content.get_text_range()
        located = len(text) == content.count_chars()  # else characters and indexes do not match
        lines, start = [], 0
        box = pdfium.FS_RECTF()
        for raw in text.split("\n"):
            stripped = raw.strip()
            size = top = 0.0
            if stripped and located:
                index = start + raw.index(stripped)
                if pdfium.FPDFText_GetLooseCharBox(content.raw, index, ctypes.byref(box)):
                    size, top = round(box.top - box.bottom, 1), box.top
            lines.append(Line(stripped, size, top))
            start += len(raw) + 1
        return [line for line in lines if line.text]
    finally:
        content.close()
        page.close()


def _heading_levels(lines: list[Line]) -> dict[float, str]:
    """Letter sizes that mark headings, with their Markdown prefix: the largest is the first level."""
    weighted = [line.size for line in lines if line.size for _ in range(1 + len(line.text) // 20)]
    if not weighted:
        return {}
    body = statistics.median(weighted)
    sizes = {line.size for line in lines if line.size >= HEADING_SCALE * body and _may_be_heading(line.text)}
    ranked = sorted(sizes, reverse=True)
    return {size: "#" * min(rank, 4) for rank, size in enumerate(ranked, start=1)}


def _may_be_heading(text: str) -> bool:
    letters = sum(character.isalpha() for character in text)
    return letters >= 3 and letters > len(text) / 2 and len(text.split()) <= HEADING_WORDS


def _blocks(lines: list[Line], headings: dict[float, str]) -> Iterator[str]:
    """Headings and paragraphs of one page."""
    block: list[str] = []
    prefix, previous = "", None
    for line in lines:
        level = headings.get(line.size, "") if _may_be_heading(line.text) else ""
        gap = previous is not None and abs(previous.top - line.top) > PARAGRAPH_GAP * max(
            line.size, previous.size
        )
        if block and (level != prefix or (gap and previous is not None and previous.size and line.size)):
            yield _joined(block, prefix)
            block = []
        block.append(line.text)
        prefix, previous = level, line
    if block:
        yield _joined(block, prefix)


def _joined(lines: list[str], prefix: str) -> str:
    """Lines of one block as text: words that were hyphenated at a line's end are put together."""
    text = lines[0]
    for line in lines[1:]:
        if text.endswith(HYPHENS) and text[-2:-1].isalpha() and line[:1].islower():
            text = text[:-1] + line
        else:
            text += (" " if prefix else "\n") + line
    text = INVISIBLE.sub("", MARKED_HYPHEN.sub("-", text))
    return f"{prefix} {text}" if prefix else text


def _metadata(info: dict[str, str], pages: int) -> dict[str, JSON]:
    found: dict[str, JSON] = {"pages": pages}
    for name, key in (("Author", "author"), ("Subject", "description"), ("Keywords", "keywords")):
        if info.get(name, "").strip():
            found[key] = info[name].strip()
    for name, key in (("CreationDate", "created"), ("ModDate", "modified")):
        moment = _iso(info.get(name, ""))
        if moment:
            found[key] = moment
    return found


def _iso(date: str) -> str | None:
    match = PDF_DATE.match(date)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups())
    try:
        return datetime.datetime(
            year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0
        ).isoformat()
    except ValueError:
        return None
