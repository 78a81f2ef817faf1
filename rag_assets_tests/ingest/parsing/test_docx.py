"""Word: structure as Markdown, equations as text, and archives that are no document."""

from __future__ import annotations

import pytest

from rag_assets.ingest.parsing import docx
from rag_assets.ingest.parsing.document import Unparseable
from rag_assets.ingest.parsing.parse import parse
from rag_assets_tests.ingest.parsing import samples


def test_paragraphs_headings_and_tables_become_markdown() -> None:
    body = (
        samples.paragraph("Ducks", "Heading1")
        + samples.paragraph("They swim.")
        + samples.table(("Kind", "Size"), ("Mallard", "60"))
        + samples.paragraph("The end.")
    )
    document = parse(samples.docx(body), "docx")
    assert document.text == (
        "# Ducks\n\nThey swim.\n\n| Kind | Size |\n| --- | --- |\n| Mallard | 60 |\n\nThe end."
    )


def test_core_properties_become_title_and_metadata() -> None:
    document = parse(samples.docx(samples.paragraph("Text")), "docx")
    assert document.title == "Annual report"
    assert document.metadata == {"author": "Ada", "created": "2024-05-01T10:00:00Z"}


def test_the_symbols_of_equations_are_kept() -> None:
    equation = (
        "<m:oMath><m:r><m:t>A=π</m:t></m:r><m:sSup><m:e><m:r><m:t>r</m:t></m:r></m:e>"
        "<m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>"
    )
    document = parse(samples.docx(f"<w:p><m:oMathPara>{equation}</m:oMathPara></w:p>"), "docx")
    assert document.text == "A=πr^2"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (samples.docx(""), "empty"),
        (samples.docx(samples.paragraph("x"))[:-40], "corrupt"),
        (samples.docx("<w:p>"), "corrupt"),
        (samples.zipped(**{"xl/workbook.xml": b"<x/>"}), "wrong_type"),
        (samples.OLE_HEAD + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
        (samples.OLE_HEAD + b"WordDocument", "wrong_type"),
        (b"no archive", "corrupt"),
    ],
)
def test_what_is_no_readable_document_is_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(Unparseable) as caught:
        parse(data, "docx")
    assert caught.value.reason == reason


def test_a_zip_bomb_is_rejected_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx, "MAX_UNPACKED", 1_000_000)
    with pytest.raises(Unparseable) as caught:
        parse(samples.docx(samples.paragraph("a" * 2_000_000)), "docx")
    assert caught.value.reason == "oversized"
