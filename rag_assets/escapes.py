"""Show text of others on terminals and in logs: with escapes for all that a terminal would obey.

Names of files, titles, ids and messages of servers come from outside. A terminal obeys control characters in them: it
moves the cursor, overwrites lines, sets links. ``cli.console`` prints nothing raw, and ``logger`` logs nothing raw.
"""

from __future__ import annotations

import logging
import re

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_DIRECTIONS = "\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates: what follows is read in another order than it is written."""
_SEPARATORS = "\u2028\u2029"
_HALVES = "\ud800-\udfff"
"""Lone surrogates, which no stream can write, or writes as raw bytes."""
_OBEYED = re.compile(f"[{_CONTROLS}{_DIRECTIONS}{_SEPARATORS}{_HALVES}]")
_OBEYED_OR_BREAK = re.compile(f"[\n{_CONTROLS}{_DIRECTIONS}{_SEPARATORS}{_HALVES}]")


def visible(text: str) -> str:
    """A text of one or several lines, with escapes for what a terminal obeys."""
    return _OBEYED.sub(_escape, text)


def on_one_line(text: str) -> str:
    """A text that must not begin a line of its own: with escapes for line breaks, too."""
    return _OBEYED_OR_BREAK.sub(_escape, text)


def escaped_json(text: str) -> str:
    """JSON of the same value, with escapes for what JSON itself leaves as it is and a terminal obeys."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def logger(name: str) -> logging.Logger:
    """The logger of a module. Its messages stand on one line whoever handles them, with escapes for the rest."""
    found = logging.getLogger(name)
    found.addFilter(_as_shown)
    return found


def _as_shown(record: logging.LogRecord) -> bool:
    record.msg, record.args = on_one_line(record.getMessage()), None
    return True


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
