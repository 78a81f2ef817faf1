"""Plain text: every encoding that people save in, and nothing that is not text."""

from __future__ import annotations

import codecs

import pytest

from rag_assets.ingest.parsing.document import Unparseable
from rag_assets.ingest.parsing.parse import parse

TEXT = "Schöne Grüße aus Köln, wo es früh kühl war.\nWir müssen später reden, größere Pläne für März.\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.encode("utf-16-le"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.encode("cp1252"),
    ],
)
def test_text_is_read_in_its_encoding_with_plain_line_ends(data: bytes) -> None:
    assert parse(data, "text").text == TEXT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (codecs.BOM_UTF8 + b"\n", "empty"),
        (b"abc\x00def", "binary"),
        (bytes(range(1, 32)) * 10, "binary"),
        (codecs.BOM_UTF16_LE + b"a\x00b", "undecodable"),
        (codecs.BOM_UTF8 + b"\xff\xfe\xfd", "undecodable"),
    ],
)
def test_what_is_not_text_is_rejected_with_one_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(Unparseable) as caught:
        parse(data, "text")
    assert caught.value.reason == reason
    assert caught.value.rejection.detail.endswith(".")
