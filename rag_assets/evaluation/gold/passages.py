"""Which passages stand in none of some texts.

passages → texts, looked at one by one → those that no text holds. A text holds a passage when it has
``PASSAGE_COVERAGE`` of its words in runs of ``RUN``, or, for shorter ones, all of its words in a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from rag_assets.evaluation.gold.words import PASSAGE_COVERAGE, RUN, covered, runs, spaced, words


class PassageSearch:
    """Looks for passages in texts that are given one at a time.

    Attributes:
        missing: passages that none of the texts seen so far holds.
    """

    def __init__(self, passages: Iterable[str]) -> None:
        self._words = {passage: words(passage) for passage in passages}
        self.missing = set(self._words)
        self._short = {passage for passage, found in self._words.items() if len(found) < RUN}
        self._by_run: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        for passage, found in self._words.items():
            for run in runs(found):
                self._by_run[run].add(passage)

    def look_at(self, sequence: tuple[str, ...]) -> None:
        """Look at the words of a text (``words``)."""
        if not self.missing:
            return
        present = runs(sequence)
        # The smaller of the two sets is walked: a document has hundreds of runs, a gold set may have millions.
        hits = {passage for run in present if run in self._by_run for passage in self._by_run[run]}
        short = self._short & self.missing
        whole = spaced(sequence) if short else ""
        for passage in (hits & self.missing) | short:
            wanted = self._words[passage]
            if len(wanted) < RUN:
                found = spaced(wanted) in whole
            else:
                found = len(covered(wanted, present)) >= PASSAGE_COVERAGE * len(wanted)
            if found:
                self.missing.discard(passage)
