"""Which parser reads a file: decided by its name alone, so that a listing is enough to plan work.

Whether the bytes keep what the name promises is checked later, by ``sniff``.
"""

from __future__ import annotations

from pathlib import PurePosixPath

EXTENSIONS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".mkd": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".rst": "rst",
    ".txt": "text",
    ".text": "text",
    ".pdf": "pdf",
    ".docx": "docx",
}


def format_of(path: str) -> str | None:
    """Format of a file by its extension (any case), or None when no parser reads it."""
    return EXTENSIONS.get(PurePosixPath(path).suffix.lower())


CONTENT_TYPES = {
    "text/markdown": ".md",
    "text/html": ".html",
    "application/xhtml+xml": ".xhtml",
    "text/x-rst": ".rst",
    "text/plain": ".txt",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}


def extension_of(path: str, content_type: str | None) -> str | None:
    """Extension for a document that was sent: its content type decides, else its name; None: no parser reads it."""
    if content_type is not None:
        return CONTENT_TYPES.get(content_type.partition(";")[0].strip().lower())
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in EXTENSIONS else None
