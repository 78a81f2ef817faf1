"""What evaluation needs from an index: a function that searches many questions at once.

Evaluation neither knows LanceDB nor the embedder; whoever can rank chunks can be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rag_assets.corpus import Mode
from rag_assets.index.hit import Hit

__all__ = ["Hit", "Search", "SearchOf"]

Search = Callable[[Sequence[str], Mode, int], list[list[Hit]]]
"""``(questions, mode, k)`` → for each question at most ``k`` hits, best first."""

SearchOf = Callable[[int], Search]
"""Opens the search of a version of the table, by its Lance version."""
