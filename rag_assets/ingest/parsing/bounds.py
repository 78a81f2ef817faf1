"""How large the parts of a document may be that are repeated with each of its chunks.

Title, heading path and metadata stand in every row of the index: a document of 50 KB with a title of a
megabyte would take gigabytes there. What is longer is cut or left out, and a warning of the document says so.
"""

from __future__ import annotations

MAX_TITLE = 500
"""Characters of a title, and of each heading of a heading path."""
MAX_METADATA = 16_000
"""Characters of all metadata of a document together, names included."""
MAX_VALUE = 4_000
"""Characters of one text in the metadata."""
MAX_NAME = 200
"""Characters of one name in the metadata."""
MAX_WARNINGS = 10
"""Warnings of one document; the last one says how many more there are."""


def shortened(text: str, characters: int) -> str:
    """A text, or its beginning with an ellipsis where it has more characters than that."""
    return text if len(text) <= characters else f"{text[: characters - 1].rstrip()}…"
