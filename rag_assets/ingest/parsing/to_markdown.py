"""HTML → Markdown, shared by every format that is read by way of HTML.

Headings, lists, tables and fenced code are kept, tables without padding (it would cost
tokens). Links become their text, images vanish: addresses and pixels are noise to an embedder.
"""

from __future__ import annotations

import re

BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
WORD = re.compile(r"\w+")
MIN_KEPT = 0.5  # share of words below which the conversion counts as failed


def to_markdown(html: str, plain: str) -> str:
    """Markdown of an HTML fragment.

    Args:
        html: the fragment.
        plain: its text as another parser sees it, returned instead if most of its words get lost
            (the converter drops content nested some hundred levels deep).
    """
    import html_to_markdown

    options = html_to_markdown.ConversionOptions(
        bullets="-",
        skip_images=True,
        strip_tags=["a"],
        extract_metadata=False,
        compact_tables=True,
        autolinks=False,
    )
    markdown = html_to_markdown.convert(html, options).content or ""
    if len(WORD.findall(markdown)) < MIN_KEPT * len(WORD.findall(plain)):
        return plain.strip()
    return BLANK_LINES.sub("\n\n", markdown).strip()
