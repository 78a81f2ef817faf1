"""PDF: the text layer, headings by letter size, and the ways in which there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.ingest.parsing.document import Unparseable
from rag_assets.ingest.parsing.parse import parse
from rag_assets_tests.ingest.parsing import samples


def test_text_headings_and_metadata_are_read() -> None:
    body = [(11, f"Sentence {n} of the body, long enough to be no heading at all.") for n in range(6)]
    document = parse(samples.pdf((24, "Ducks of the world"), *body, (16, "Habitat"), *body), "pdf")
    assert document.text.startswith("# Ducks of the world\n\nSentence 0 of")
    assert "\n\n## Habitat\n\nSentence 0" in document.text
    assert document.title == "Sample"
    assert document.metadata == {"pages": 1, "author": "Ada", "created": "2024-05-01T10:00:00"}


def test_words_hyphenated_at_a_line_end_are_put_together() -> None:
    document = parse(samples.pdf((11, "A very un-"), (11, "usual duck, X-"), (11, "Ray, well-known.")), "pdf")
    assert document.text == "A very unusual duck, X-Ray, well-known."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (samples.pdf(), "no_text"),
        (samples.pdf((11, "text"))[:200], "corrupt"),
        (b"%PDF-1.7\n" + b"junk " * 100, "corrupt"),
        (b"just words", "corrupt"),
    ],
)
def test_a_pdf_without_readable_text_is_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(Unparseable) as caught:
        parse(data, "pdf")
    assert caught.value.reason == reason


def test_a_protected_pdf_is_rejected_as_encrypted(shared_data: Path) -> None:
    folder = shared_data / "documents" / "mixed-formats" / "unstructured" / "orig" / "pdf"
    with pytest.raises(Unparseable) as caught:
        parse((folder / "password.pdf").read_bytes(), "pdf")
    assert caught.value.rejection.reason == "encrypted"
    assert caught.value.rejection.detail == "The PDF file is protected by a password."
