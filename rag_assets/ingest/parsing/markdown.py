"""Markdown → itself: front matter becomes metadata, the body stays as it is.

Only what is needed is computed, because a corpus has thousands of these: the front matter and
the first heading. Broken front matter loses neither document nor text: it stays in the text, and
the metadata value ``front_matter_error`` says what is wrong with it.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from rag_assets.ingest.parsing.decode import decode
from rag_assets.ingest.parsing.document import ParsedDocument
from rag_assets.ingest.parsing.headings import first_heading
from rag_assets.ingest.parsing.metadata import TooMuchMetadata, check_depth, check_extent

FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
MAX_FRONT_MATTER = 64 * 1024  # characters; more is text between two rules, not metadata
SHALLOW = 4096  # characters that cannot nest so deeply that building the values would exhaust the C stack


def parse(data: bytes) -> ParsedDocument:
    """Text without front matter, title from front matter or first heading. Raises Unparseable."""
    metadata, text = split_front_matter(decode(data))
    declared = metadata.get("title")
    title = declared.strip() if isinstance(declared, str) else ""
    return ParsedDocument(text, title or first_heading(text), metadata)


def split_front_matter(text: str) -> tuple[dict[Any, Any], str]:
    """(metadata, body) of a document that may open with YAML (---) or TOML (+++) front matter."""
    match = FRONT_MATTER.match(text) if text.startswith(("---", "+++")) else None
    if match is None or match.end(2) - match.start(2) > MAX_FRONT_MATTER:
        return {}, text
    load, error_types = _loader(match[1])
    try:
        values = load(match[2])
    except error_types as error:
        return {"front_matter_error": " ".join(str(error).split()) or type(error).__name__}, text
    if values is None:  # an empty block
        return {}, text[match.end() :]
    if not isinstance(values, dict):  # two horizontal rules with text between them
        return {}, text
    try:
        check_extent(values)
    except TooMuchMetadata as error:
        return {"front_matter_error": f"front matter has {error}"}, text
    return values, text[match.end() :]


def _loader(fence: str) -> tuple[Any, tuple[type[Exception], ...]]:
    # Both libraries let through whatever int(), date() and the like raise: ValueError for the date 2024-13-45
    # or a number of 5,000 digits, TypeError for a list as a key, others for "!!int" before no number.
    foreign = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
    if fence == "+++":
        return tomllib.loads, foreign
    import yaml

    return _load_yaml, (yaml.YAMLError, *foreign)


def _load_yaml(block: str) -> Any:
    import yaml

    if len(block) > SHALLOW:
        depth = 0
        for event in yaml.parse(block, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            check_depth(depth - 1)
    return yaml.load(block, Loader=yaml.CSafeLoader)
