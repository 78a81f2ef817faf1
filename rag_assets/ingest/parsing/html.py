"""HTML → Markdown of its main content.

A page that says where its content is (``main``, or one ``article`` with most of the words) is
taken at its word. Any other page goes through trafilatura, which tells content from boilerplate
statistically, and is trusted only if it keeps enough of the words and all tables, code blocks
and headings; otherwise the whole body is taken. Boilerplate in the index is a nuisance, lost
content is a defect.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rag_assets.ingest.parsing.decode import decode
from rag_assets.ingest.parsing.document import JSON, ParsedDocument, Unparseable
from rag_assets.ingest.parsing.to_markdown import WORD, to_markdown

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_:.-]+)""", re.IGNORECASE)
NEVER_CONTENT = "script, style, template, noscript, iframe, svg, object, canvas, nav, dialog, [hidden]"
STRUCTURE = ("table", "pre", "h1, h2, h3")
META_NAMES = {
    "author": "author",
    "article:author": "author",
    "description": "description",
    "og:description": "description",
    "keywords": "keywords",
    "date": "created",
    "dc.date": "created",
    "article:published_time": "created",
    "article:modified_time": "modified",
    "last-modified": "modified",
}
MIN_WORDS = 200  # a shorter page is taken whole: its statistics say nothing
MIN_MAIN_SHARE = 0.6  # share of the body's words that anything but ``main`` must keep


def parse(data: bytes) -> ParsedDocument:
    """Main content as Markdown, title and meta tags. Raises Unparseable."""
    from selectolax.lexbor import LexborHTMLParser

    declared = CHARSET.search(data, 0, 4096)
    source = decode(data, declared[1].decode("ascii") if declared else None)
    tree = LexborHTMLParser(source)
    metadata = _metadata(tree)
    heading = tree.css_first("h1")
    title = _title(tree) or (_text(heading) if heading else "")
    for node in tree.css(NEVER_CONTENT):
        node.decompose()
    body = tree.body
    if body is None or not body.text().strip():
        raise Unparseable("empty", "The page has no text outside scripts, styles and navigation.")
    main = _landmark(tree, body)
    if main is None:
        main = _extracted(body) if _words(body) >= MIN_WORDS else None
    main = main or body
    html = main.html or ""
    return ParsedDocument(to_markdown(html, main.text(separator="\n", strip=True)), title, metadata)


def _text(node: LexborNode) -> str:
    return " ".join(node.text().split())


def _words(node: LexborNode) -> int:
    return len(WORD.findall(node.text(separator=" ")))


def _title(tree: LexborHTMLParser) -> str:
    node = tree.css_first("head title")
    return _text(node) if node else ""


def _metadata(tree: LexborHTMLParser) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for node in tree.css("meta[content]"):
        name = (
            node.attributes.get("name")
            or node.attributes.get("property")
            or node.attributes.get("http-equiv")
        )
        key = META_NAMES.get((name or "").lower())
        content = (node.attributes.get("content") or "").strip()
        if key and content:
            found.setdefault(key, content)
    root = tree.css_first("html")
    language = root.attributes.get("lang") if root else None
    if language:
        found["language"] = language
    return found


def _landmark(tree: LexborHTMLParser, body: LexborNode) -> LexborNode | None:
    for selector in ("main", "[role=main]"):
        nodes = tree.css(selector)
        if len(nodes) == 1 and nodes[0].text().strip():
            return nodes[0]
    articles = tree.css("article")
    if len(articles) == 1 and _words(articles[0]) >= MIN_MAIN_SHARE * _words(body):
        return articles[0]
    return None  # an article that is a small part may be a mere teaser


def _extracted(body: LexborNode) -> LexborNode | None:
    """What trafilatura takes for the main content, or None if that loses too much."""
    import trafilatura
    from selectolax.lexbor import LexborHTMLParser

    extracted = trafilatura.extract(
        f"<html>{body.html}</html>",
        output_format="html",
        include_tables=True,
        include_formatting=True,
        include_links=False,
        include_comments=False,
        favor_recall=True,
    )
    kept = LexborHTMLParser(extracted).body if extracted else None
    if kept is None or _words(kept) < MIN_MAIN_SHARE * _words(body):
        return None
    if any(len(kept.css(selector)) < len(body.css(selector)) for selector in STRUCTURE):
        return None
    return kept
