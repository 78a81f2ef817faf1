"""The words by which texts are compared.

Unicode compatibility form, case folded, punctuation and white space ignored; scripts that write no
spaces are compared character by character.
"""

from __future__ import annotations

import re
import unicodedata

RUN = 4
"""Words in a row that must agree to count; fewer would let stop words add up."""
PASSAGE_COVERAGE = 0.8
"""Share of a passage's words that must be seen: a link or a footnote mark inside a quote does no harm."""

# Thai, Lao, Khmer, Japanese kana, Han: no spaces between words, so each character is one.
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fa1f"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words(text: str) -> tuple[str, ...]:
    """The words of a text, in order."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def runs(sequence: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """All runs of ``RUN`` words in a row."""
    return frozenset(zip(*(sequence[start:] for start in range(RUN)), strict=False))


def spaced(sequence: tuple[str, ...]) -> str:
    """Words as one string in which a sequence of words is found as a substring."""
    return f" {' '.join(sequence)} "


def covered(passage: tuple[str, ...], present: frozenset[tuple[str, ...]]) -> set[int]:
    """Positions of a passage's words that lie in a run of ``RUN`` words which a text has, too."""
    return {
        position
        for start in range(len(passage) - RUN + 1)
        if passage[start : start + RUN] in present
        for position in range(start, start + RUN)
    }
