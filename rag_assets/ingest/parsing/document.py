"""What parsing yields: a document, or a rejection. Both are values that can be counted and stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from rag_assets.errors import DataError

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

# "unreadable" belongs to the caller: the source did not deliver the bytes.
Reason = Literal[
    "binary",
    "corrupt",
    "crashed",
    "empty",
    "encrypted",
    "memory",
    "no_text",
    "oversized",
    "timeout",
    "undecodable",
    "unreadable",
    "unsupported",
    "wrong_type",
]

WARNINGS = "parsing_warnings"
"""Name under which a document's warnings are kept with its metadata."""
LIMIT_REASONS: frozenset[Reason] = frozenset({"crashed", "memory", "oversized", "timeout"})
"""Reasons that depend on limits or on the machine: other limits may give another answer."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """One document as text.

    Attributes:
        text: Markdown with "\\n" line ends, never blank; spans of chunks point into it.
        title: from metadata or the first heading; "" when the document names none.
        metadata: JSON values only (dates as ISO 8601 strings), e.g. author, created, language. ``parse``
            sees to that: the modules of the formats hand on what their libraries give.
        warnings: sentences for people: what was cut or left out.
    """

    text: str
    title: str
    metadata: dict[str, JSON]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one document is quarantined: a code to count by, and one sentence for people."""

    reason: Reason
    detail: str


class Unparseable(DataError):
    """This document cannot become text; ``rejection`` says why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.rejection = Rejection(reason, detail)

    @property
    def reason(self) -> Reason:
        """The code of the rejection."""
        return self.rejection.reason
