"""Word → Markdown, by way of mammoth's HTML.

mammoth reads text boxes, strict documents and missing images, which python-docx walks past or
fails on; with images left out it was the better one on the documents with known text.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any
from xml.etree import ElementTree

from rag_assets.ingest.parsing.document import JSON, ParsedDocument, Unparseable
from rag_assets.ingest.parsing.equations import with_equations_as_text
from rag_assets.ingest.parsing.to_markdown import to_markdown

MAX_UNPACKED = 1_000_000_000  # bytes of all members; a ZIP bomb claims, or truthfully has, more
STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='Code'] => pre:separator('\\n')
p[style-name='Source Code'] => pre:separator('\\n')
p[style-name='HTML Preformatted'] => pre:separator('\\n')
"""
PROPERTIES = {
    "creator": "author",
    "created": "created",
    "modified": "modified",
    "description": "description",
    "keywords": "keywords",
    "language": "language",
    "subject": "subject",
}


def parse(data: bytes) -> ParsedDocument:
    """Body of the document. Raises Unparseable: encrypted, oversized or corrupt."""
    import mammoth  # type: ignore[import-untyped]
    from selectolax.lexbor import LexborHTMLParser

    _check_archive(data)
    properties = _core_properties(data)
    html = mammoth.convert_to_html(
        io.BytesIO(with_equations_as_text(data)), style_map=STYLES, convert_image=_no_image
    ).value
    tree = LexborHTMLParser(html)
    plain = tree.body.text(separator="\n", strip=True) if tree.body else ""
    heading = tree.css_first("h1, h2, h3")
    title = properties.pop("title", "") or (" ".join(heading.text().split()) if heading else "")
    metadata: dict[str, JSON] = {
        PROPERTIES[name]: value for name, value in properties.items() if name in PROPERTIES
    }
    return ParsedDocument(to_markdown(html, plain), title, metadata)


def _no_image(image: Any) -> list[Any]:
    return []


def _check_archive(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise Unparseable("encrypted", "The Word document is an encrypted ZIP archive.")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED:
        raise Unparseable(
            "oversized", f"The Word document unpacks to {unpacked:,} bytes; {MAX_UNPACKED:,} are allowed."
        )


def _core_properties(data: bytes) -> dict[str, str]:
    """Dublin Core properties of the document, by local name; {} when it has none that can be read."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if "docProps/core.xml" not in archive.namelist():
            return {}
        try:
            root = ElementTree.fromstring(archive.read("docProps/core.xml"))
        except ElementTree.ParseError:
            return {}
    found = {str(node.tag).rpartition("}")[2]: (node.text or "").strip() for node in root}
    return {name: value for name, value in found.items() if value}
