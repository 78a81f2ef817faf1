"""Hypothesis strategies for Markdown: usual documents, and strings that attack the parser."""

from __future__ import annotations

from hypothesis import strategies as st

_WORDS = st.sampled_from(
    [
        *(
            "alpha",
            "beta",
            "gamma.",
            "Delta",
            "epsilon,",
            "`code`",
            "**bold**",
            "naïve",
            "東京都。",
            "Ünïted",
        ),
        *("e.g.", "x=1;", "[link](a/b.md)", "🙂", "internationalization", "Привет", "мир!", "___"),
        *("#hash\u00a0tied", "\u0301", "\x1c", "[MASK]"),
    ]
)
_SENTENCES = st.lists(_WORDS, min_size=1, max_size=40).map(" ".join)
_LONG_WORDS = st.builds(
    lambda part, times: part * times, st.sampled_from(["ab", "x1Z/", "漢"]), st.integers(1, 400)
)
_CODE = st.lists(_SENTENCES, max_size=12).map(
    lambda lines: "\n".join(["```py", "# not a heading", *lines, "```"])
)
_TABLES = st.lists(_SENTENCES, max_size=8).map(
    lambda rows: "\n".join(["| a | b |", "|---|---|", *(f"| {row} | 1 |" for row in rows)])
)
_LISTS = st.lists(_SENTENCES, min_size=1, max_size=10).map(
    lambda items: "\n".join(f"- {item}" for item in items)
)
_QUOTES = _SENTENCES.map(lambda text: f"> {text}\n> # quoted heading")
_ATX = st.builds(lambda level, title: f"{'#' * level} {title}", st.integers(1, 6), _SENTENCES)
_SETEXT = st.builds(lambda title, line: f"{title}\n{line}", _WORDS, st.sampled_from(["===", "---"]))
_BLOCKS = st.one_of(
    _SENTENCES, _ATX, _ATX, _SETEXT, _CODE, _TABLES, _LISTS, _QUOTES, _LONG_WORDS, st.just("<div>\n\nhtml")
)
_SEPARATORS = st.sampled_from(["\n\n", "\n\n\n", "\r\n\r\n", "\n \t\n", "\n"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Markdown of up to 25 blocks, or any text at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
    blocks = draw(st.lists(_BLOCKS, max_size=25))
    return "".join(block + draw(_SEPARATORS) for block in blocks)
