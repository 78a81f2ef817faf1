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
