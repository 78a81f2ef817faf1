"""Markdown → itself: front matter becomes metadata, the body stays as it is.

Only what is needed is computed, because a corpus has thousands of these: the front matter and
the first heading. Broken front matter loses neither document nor text: it stays in the text, and
the metadata value ``front_matter_error`` says what is wrong with it.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from rag_assets.parsing.decode import decode
from rag_assets.parsing.document import JSON, ParsedDocument
from rag_assets.parsing.metadata import TooMuchMetadata, jsonable

FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
MAX_FRONT_MATTER = 64 * 1024  # characters; more is text between two rules, not metadata
HEAD = 4096  # characters in which nearly every document has its first heading


def parse(data: bytes) -> ParsedDocument:
    """Text without front matter, title from front matter or first heading. Raises Unparseable."""
    metadata, text = split_front_matter(decode(data))
    declared = metadata.get("title")
    title = declared.strip() if isinstance(declared, str) else ""
    return ParsedDocument(text, title or first_heading(text), metadata)


def split_front_matter(text: str) -> tuple[dict[str, JSON], str]:
    """(metadata, body) of a document that may open with YAML (---) or TOML (+++) front matter."""
    match = FRONT_MATTER.match(text) if text.startswith(("---", "+++")) else None
    if match is None or match.end(2) - match.start(2) > MAX_FRONT_MATTER:
        return {}, text
    load, error_types = _loader(match[1])
    try:
        values = load(match[2])
    except error_types as error:
        return {"front_matter_error": " ".join(str(error).split())}, text
    if values is None:  # an empty block
        return {}, text[match.end() :]
    if not isinstance(values, dict):  # two horizontal rules with text between them
        return {}, text
    try:
        return jsonable(values), text[match.end() :]
    except TooMuchMetadata as error:
        return {"front_matter_error": f"front matter has {error}"}, text


def _loader(fence: str) -> tuple[Any, tuple[type[Exception], ...]]:
    if fence == "+++":
        return tomllib.loads, (tomllib.TOMLDecodeError, RecursionError)
    import yaml

    # ValueError: YAML 1.1 turns things like 2024-13-45 into dates that do not exist.
    # TypeError: a list as a mapping's key.
    return (
        lambda block: yaml.load(block, Loader=yaml.CSafeLoader),
        (yaml.YAMLError, ValueError, TypeError, RecursionError),
    )


def first_heading(text: str) -> str:
    """Plain text of the first heading of any level, or ""."""
    if len(text) <= HEAD:
        return _first_heading(text)
    return _first_heading(text[: text.rfind("\n", 0, HEAD) + 1]) or _first_heading(text)


def _first_heading(text: str) -> str:
    import pyromark

    parts: list[str] | None = None
    for event in pyromark.events(text):
        match event:
            case {"Start": {"Heading": _}}:
                parts = []
            case {"End": {"Heading": _}} if parts is not None:
                heading = " ".join("".join(parts).split())
                if heading:
                    return heading
                parts = None
            case {"Text": part} | {"Code": part} if parts is not None:
                parts.append(str(part))
            case "SoftBreak" | "HardBreak" if parts is not None:
                parts.append(" ")
    return ""
