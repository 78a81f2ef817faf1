"""Check what a caller asks before it is searched for: question, mode and number of hits."""

from __future__ import annotations

import operator
from typing import SupportsIndex, cast, get_args

from rag_assets.corpus import Mode
from rag_assets.errors import InvalidQuery

LONGEST = 100_000
"""Characters of a question. One of this length takes half a second."""
MOST_HITS = 10_000
"""Of one search."""


def checked_question(text: object) -> str:
    """A question as all modes can search for it.

    Halves of characters (lone surrogates), which come from broken encodings, become U+FFFD, as decoders write them.

    Raises:
        InvalidQuery: it is no text, or longer than ``LONGEST``.
    """
    if not isinstance(text, str):
        raise InvalidQuery(f"the question is expected to be a text, not {type(text).__name__}")
    if len(text) > LONGEST:
        raise InvalidQuery(f"the question has {len(text):,} characters; allowed are {LONGEST:,}")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def checked_hits(k: object) -> int:
    """The number of hits that are wanted.

    Raises:
        InvalidQuery: it is no whole number from 1 to ``MOST_HITS``.
    """
    if not isinstance(k, SupportsIndex) or isinstance(k, bool) or not 1 <= operator.index(k) <= MOST_HITS:
        raise InvalidQuery(f"k is expected to be a whole number from 1 to {MOST_HITS:,}, not {_shown(k)}")
    return operator.index(k)


def checked_mode(mode: object) -> Mode:
    """The way to search.

    Raises:
        InvalidQuery: there is no such mode.
    """
    if mode not in get_args(Mode):
        raise InvalidQuery(f"mode is expected to be one of {', '.join(get_args(Mode))}, not {_shown(mode)}")
    return cast(Mode, mode)


def _shown(value: object) -> str:
    """A value as a message can show it; an integer of many digits cannot be written at all."""
    if isinstance(value, int) and abs(value) > 10**18:
        return f"an integer of {value.bit_length()} bits"
    return ascii(value)[:50] if isinstance(value, str | int | float | None) else type(value).__name__
