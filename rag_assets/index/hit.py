"""One search result, as the index gives it and evaluation, readers and services take it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a search returned. A higher score is better; scores of two modes cannot be compared.

    ``metadata`` is the document's, as JSON.
    """

    chunk_id: str
    document_id: str
    text: str
    heading_path: tuple[str, ...]
    score: float
    title: str = ""
    uri: str = ""
    metadata: str = "{}"

    def scored(self, score: float) -> Hit:
        """The same hit with another score."""
        return replace(self, score=score)
