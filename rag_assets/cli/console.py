"""The one place where text reaches a terminal: what others wrote is shown, never obeyed.

Titles, ids, texts and messages of servers come from outside. A terminal obeys control characters in them: it moves the
cursor, overwrites lines, sets links. Here they are shown as escapes (``\\x1b``), and Rich's own markup in them
means nothing. Colours are given with ``styled``, apart from the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

UNFOLDED = 10_000
"""Columns of an output that is no terminal: more than a line needs."""
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


def styled(text: str, style: str) -> Text:
    """A text on one line in a style of Rich's, such as ``bold red``."""
    return Text(on_one_line(text), style=style)


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


class SafeConsole(Console):
    """A console that interprets nothing.

    A ``str`` is one line, also as a cell of a table. Text of several lines is given as Rich's ``Text``.

    Args:
        stderr: write to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        if not self.is_terminal:  # a file or a CI log: from a line that was folded no path can be copied
            self.width = UNFOLDED

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as Rich draws it."""
        return super().render_str(on_one_line(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """All that is drawn, whatever it is made of."""
        for segment in super().render(renderable, options):
            if segment.control:  # of Rich itself: progress bars move the cursor
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)
