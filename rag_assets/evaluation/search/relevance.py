"""Which targets of a question the ranked hits find, and at which rank.

Question + ranked chunks → one rank per target (1 = best, None = not found).

- A *document* is ranked in the list of distinct documents: hits are collapsed to documents by
  their best rank, so that ten chunks of one document take one place.
- A *passage* is ranked in the list of chunks. It is found at the first rank at which one chunk
  contains it, or the chunks of one document seen so far together hold at least 80 % of its words,
  in runs of at least four. So a passage that straddles two neighbouring chunks counts once the
  reader has both, and a link or a footnote mark inside the quote does no harm. Texts are compared
  as words (``gold.words``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from rag_assets.evaluation.gold.words import PASSAGE_COVERAGE, covered, runs, spaced, words
from rag_assets.evaluation.search.search import Hit


class Targets(Protocol):
    """What relevance needs of a question."""

    @property
    def documents(self) -> tuple[str, ...]:
        """Ids of documents to find."""

    @property
    def passages(self) -> tuple[str, ...]:
        """Quotes to find."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Ranks of the documents, then of the passages; and which hits (0-based) are relevant."""

    ranks: tuple[int | None, ...]
    relevant: frozenset[int]


def find_targets(question: Targets, hits: Sequence[Hit]) -> Findings:
    """Rank every target of a question in the hits, which come best first."""
    ranks: list[int | None] = []
    relevant: set[int] = set()
    order = {
        document: rank
        for rank, document in enumerate(dict.fromkeys(hit.document_id for hit in hits), start=1)
    }
    wanted = set(question.documents)
    ranks += [order.get(document) for document in question.documents]
    relevant.update(position for position, hit in enumerate(hits) if hit.document_id in wanted)
    for passage in question.passages:
        rank, positions = _find_passage(words(passage), hits)
        ranks.append(rank)
        relevant.update(positions)
    return Findings(tuple(ranks), frozenset(relevant))


def _find_passage(passage: tuple[str, ...], hits: Sequence[Hit]) -> tuple[int | None, set[int]]:
    """Rank at which the passage is complete, and the hits that hold it or complete it."""
    whole = spaced(passage)
    seen: defaultdict[str, set[int]] = defaultdict(set)
    pieces: defaultdict[str, set[int]] = defaultdict(set)
    rank: int | None = None
    relevant: set[int] = set()
    for position, hit in enumerate(hits):
        text, present = _searchable(hit.text)
        if whole in text:
            relevant.add(position)
            rank = position + 1 if rank is None else rank
        elif rank is None:
            found = covered(passage, present)
            if found:
                seen[hit.document_id] |= found
                pieces[hit.document_id].add(position)
            if len(seen[hit.document_id]) >= PASSAGE_COVERAGE * len(passage):
                rank = position + 1
                relevant |= pieces[hit.document_id]
    return rank, relevant


@lru_cache(maxsize=2048)
def _searchable(text: str) -> tuple[str, frozenset[tuple[str, ...]]]:
    """A chunk's words as one string, and all its runs. Modes return the same chunks: computed once."""
    found = words(text)
    return spaced(found), runs(found)
