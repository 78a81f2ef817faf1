"""HTML: main content as Markdown, nothing of the content lost."""

from __future__ import annotations

import pytest

from rag_assets.ingest.parsing.document import ParsedDocument, Unparseable
from rag_assets.ingest.parsing.parse import parse

PAGE = """<!doctype html><html lang="de"><head><title>Ducks | Zoo</title>
<meta name="author" content="Ada"><meta property="article:published_time" content="2024-05-01"></head>
<body><nav><a href="/">Home</a></nav><main><h1>Ducks</h1><p>They <b>swim</b> in <a href="/w">water</a>.</p>
<pre><code class="language-python">def quack():
    return 1 &lt; 2</code></pre>
<table><tr><th>Kind</th><th>Size</th></tr><tr><td>Mallard</td><td>60</td></tr></table>
<ul><li>one</li><li>two</li></ul><img src="data:image/png;base64,AAAA" alt="x"></main>
<footer>Imprint</footer><script>alert(1)</script></body></html>"""


def html(source: str) -> ParsedDocument:
    return parse(source.encode(), "html")


def test_headings_code_tables_and_lists_survive_as_markdown() -> None:
    document = html(PAGE)
    assert document.text == (
        "# Ducks\n\nThey **swim** in water.\n\n```python\ndef quack():\n    return 1 < 2\n```\n\n"
        "| Kind | Size |\n| --- | --- |\n| Mallard | 60 |\n\n- one\n- two"
    )


def test_title_and_meta_tags_become_metadata() -> None:
    document = html(PAGE)
    assert document.title == "Ducks | Zoo"
    assert document.metadata == {"author": "Ada", "created": "2024-05-01", "language": "de"}


def test_a_page_without_landmarks_keeps_its_content_and_loses_its_navigation() -> None:
    article = "".join(
        f"<p>Paragraph number {n} tells at length how ducks spend their day.</p>" for n in range(30)
    )
    links = "".join(f'<li><a href="/{n}">Link {n}</a></li>' for n in range(20))
    document = html(
        f"<body><div class='menu'><ul>{links}</ul></div><div><h1>Ducks</h1>{article}</div></body>"
    )
    assert all(f"Paragraph number {n} " in document.text for n in range(30))
    assert "# Ducks" in document.text


def test_code_in_a_page_without_landmarks_is_not_lost() -> None:
    filler = "<p>This sentence fills the page with words that say very little.</p>" * 40
    document = html(
        f"<body><h1>Code</h1>{filler}<pre>x = 1\n  y = 2</pre><table><tr><td>cell</td></tr></table>"
    )
    assert "```\nx = 1\n  y = 2\n```" in document.text
    assert "cell" in document.text


def test_the_declared_charset_is_used() -> None:
    source = '<html><head><meta charset="iso-8859-2"></head><body><p>Zażółć gęślą jaźń</p></body></html>'
    assert parse(source.encode("iso-8859-2"), "html").text == "Zażółć gęślą jaźń"


def test_deeply_nested_content_is_not_lost() -> None:
    assert "treasure" in html("<div>" * 3000 + "treasure" + "</div>" * 3000).text


def test_a_page_of_scripts_alone_is_empty() -> None:
    with pytest.raises(Unparseable) as caught:
        html("<html><body><script>let x = 1</script><nav>menu</nav></body></html>")
    assert caught.value.reason == "empty"


def test_a_small_article_does_not_hide_the_rest_of_the_page() -> None:
    rest = "".join(f"<p>Line {n} of the page.</p>" for n in range(20))
    text = html(f"<body><article>Teaser</article><div>{rest}</div></body>").text
    assert "Teaser" in text
    assert all(f"Line {n} of" in text for n in range(20))
