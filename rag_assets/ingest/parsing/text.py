"""Plain text → itself, decoded."""

from __future__ import annotations

from rag_assets.ingest.parsing.decode import decode
from rag_assets.ingest.parsing.document import ParsedDocument


def parse(data: bytes) -> ParsedDocument:
    """Decoded text, without title: plain text has no headings. Raises Unparseable."""
    return ParsedDocument(decode(data), "", {})
