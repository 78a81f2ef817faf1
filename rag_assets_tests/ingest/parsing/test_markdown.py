"""Markdown: the body is kept byte for byte, front matter becomes metadata."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.ingest.parsing.document import ParsedDocument, Unparseable
from rag_assets.ingest.parsing.parse import parse


def markdown(text: str) -> ParsedDocument:
    return parse(text.encode(), "markdown")


def test_yaml_front_matter_becomes_metadata_and_leaves_the_text() -> None:
    document = markdown("---\ntitle: Guide\ndate: 2024-05-01\ntags: [a, b]\n---\n# Other\n\nBody\n")
    assert document == ParsedDocument(
        "# Other\n\nBody\n", "Guide", {"title": "Guide", "date": "2024-05-01", "tags": ["a", "b"]}
    )


def test_toml_front_matter_becomes_metadata_and_leaves_the_text() -> None:
    document = markdown('+++\ntitle = "Guide"\nat = 2024-05-01T10:00:00Z\n+++\nBody\n')
    assert document.text == "Body\n"
    assert document.metadata == {"title": "Guide", "at": "2024-05-01T10:00:00+00:00"}


@pytest.mark.parametrize(
    "block",
    [
        "title: [unclosed",
        "a: b: c",
        "date: 2024-13-45",
        "? [1, 2]\n: x",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
        "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
        "e: [*d, *d, *d, *d, *d, *d, *d, *d, *d]",
        "a: " + "[" * 400 + "]" * 400,
        "a: &a [*a]",
    ],
)
def test_broken_front_matter_stays_in_the_text_and_is_noted(block: str) -> None:
    source = f"---\n{block}\n---\n# Title\n"
    document = markdown(source)
    assert document.text == source
    assert document.metadata["front_matter_error"]


@pytest.mark.parametrize(
    "source", ["---\n\nText between rules\n\n---\n\nMore\n", "---\nno end\n", "a\n---\nb: c\n---\n"]
)
def test_horizontal_rules_are_not_front_matter(source: str) -> None:
    assert markdown(source) == ParsedDocument(source, markdown(source).title, {})


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("# One\n# Two\n", "One"),
        ("text\n\n## The `f()` *function* #\n", "The f() function"),
        ("Under\nlined\n===\n", "Under lined"),
        ("```\n# a comment\n```\n\n# Real\n", "Real"),
        ("#\n\n# Second\n", "Second"),
        ("plain text\n\n" * 1000 + "# Late\n", "Late"),
        ("no heading", ""),
    ],
)
def test_the_title_is_the_first_heading(source: str, title: str) -> None:
    assert markdown(source).title == title


@given(st.text().filter(lambda text: text.strip() and not text.startswith(("---", "+++", "\ufeff"))))
def test_a_body_without_front_matter_is_unchanged(text: str) -> None:
    try:
        document = parse(text.encode("utf-8", "surrogatepass"), "markdown")
    except Unparseable as error:
        assert error.reason in ("binary", "empty", "undecodable", "wrong_type")
        return
    if "\ud800" <= max(text) <= "\udfff" or "\x00" in text:  # the latter may be read as UTF-16
        return
    assert document.text == text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.text(alphabet=":-[]{}&*#!|>'\"%@ \nab1", max_size=200))
def test_any_front_matter_keeps_the_body_and_is_json(block: str) -> None:
    document = markdown(f"---\n{block}\n---\nThe body.\n")
    assert document.text.endswith("The body.\n")
    json.dumps(document.metadata, allow_nan=False)
