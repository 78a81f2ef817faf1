"""What helps when an object of the store is lost or damaged, by where it lies."""

from __future__ import annotations

import re

_RUN_AGAIN = "run again; if it stays, put the object back from a backup of the store"
_ADVICE = (
    (r"content/.*", "run the corpus again: what it held is made anew"),
    (
        r"corpora/([^/]+)/erasures/.*",
        "put it back from a backup. Without one, delete it, send the erasures of {0} that are not done once more, under "
        "new event ids, and run: the table before it still holds the older ones",
    ),
    (r"corpora/([^/]+)/pushed/.*", "have the document sent again: the store has no other copy of it"),
    (r"corpora/([^/]+)/.*", "rag-assets run {0} makes it anew"),
    (r"canaries/.*", "delete it and run: the model that the endpoint serves then counts as the right one"),
    (r"parity/.*", "delete it and measure again with rag-assets parity"),
)


def advice(path: str) -> str:
    """The next step, for the message about an object. ``path``: below the store."""
    for pattern, text in _ADVICE:
        if match := re.fullmatch(pattern, path):
            return text.format(*match.groups())
    return _RUN_AGAIN
