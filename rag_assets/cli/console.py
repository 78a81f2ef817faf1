"""The one place where text reaches a terminal: what others wrote is shown, never obeyed.

Titles, ids, texts and messages of servers come from outside. A terminal obeys control characters in them: it moves the
cursor, overwrites lines, sets links. Here they are shown as escapes (``\\x1b``), and Rich's own markup in them
means nothing. Colours are given with ``styled``, apart from the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from rag_assets.escapes import on_one_line, visible

UNFOLDED = 10_000
"""Columns of an output that is no terminal: more than a line needs."""


def styled(text: str, style: str) -> Text:
    """A text on one line in a style of Rich's, such as ``bold red``."""
    return Text(on_one_line(text), style=style)


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
