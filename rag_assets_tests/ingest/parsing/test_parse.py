"""The rules that hold for every format: names, types, fingerprints, rejections."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rag_assets.ingest.parsing.document import LIMIT_REASONS, Unparseable
from rag_assets.ingest.parsing.formats import EXTENSIONS, format_of
from rag_assets.ingest.parsing.parse import PARSERS, parse, parser_fingerprint
from rag_assets_tests.ingest.parsing import samples

PDF = samples.pdf((12, "Apple"))
WORD = samples.docx(samples.paragraph("Apple"))
HTML = b"<!DOCTYPE html><html><body><p>Apple</p></body></html>"


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("a/b.md", "markdown"),
        ("README.MARKDOWN", "markdown"),
        ("x.htm", "html"),
        ("x.rst", "rst"),
        ("x.txt", "text"),
        ("x.y.PDF", "pdf"),
        ("x.docx", "docx"),
        ("x.pptx", None),
        ("Makefile", None),
        (".md", None),
    ],
)
def test_the_extension_decides_the_format(path: str, format: str | None) -> None:
    assert format_of(path) == format


def test_every_extension_has_a_parser() -> None:
    assert set(EXTENSIONS.values()) == set(PARSERS)


@pytest.mark.parametrize(
    ("data", "format", "found"),
    [
        (PDF, "markdown", "a PDF file"),
        (PDF, "docx", "a PDF file"),
        (HTML, "pdf", "HTML"),
        (HTML, "markdown", "HTML"),
        (WORD, "text", "a Word document"),
        (WORD, "pdf", "a Word document"),
        (samples.zipped(a=b"x"), "text", "a ZIP archive"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 20, "html", "a PNG image"),
        (b"{\\rtf1 Hello}", "text", "an RTF file"),
    ],
)
def test_a_wrongly_named_file_is_rejected_naming_both_types(data: bytes, format: str, found: str) -> None:
    with pytest.raises(Unparseable) as caught:
        parse(data, format)
    assert caught.value.reason == "wrong_type"
    assert caught.value.rejection.detail.endswith(f"the content is {found}.")


@pytest.mark.parametrize(
    "text",
    [
        "PK is a name",
        "MZ",
        "GIF images",
        "%PDF is how PDF files start",
        "<p>a</p> text",
        "Rar! said he",
        "BM",
    ],
)
def test_normal_text_is_not_taken_for_another_type(text: str) -> None:
    assert parse(text.encode(), "markdown").text == text


def test_html_source_in_a_text_file_is_text() -> None:
    assert parse(HTML, "text").text == HTML.decode()


def test_a_format_without_parser_is_unsupported() -> None:
    with pytest.raises(Unparseable) as caught:
        parse(b"x", "pptx")
    assert caught.value.reason == "unsupported"
    assert "unsupported" not in LIMIT_REASONS


def test_parsing_the_same_bytes_twice_gives_the_same_document() -> None:
    for format, data in {"pdf": PDF, "docx": WORD, "html": HTML}.items():
        assert parse(data, format) == parse(data, format)


def test_each_format_has_its_own_stable_fingerprint() -> None:
    fingerprints = {parser_fingerprint(format) for format in PARSERS}
    assert len(fingerprints) == len(PARSERS)
    assert all(len(fingerprint) == 32 for fingerprint in fingerprints)
    assert parser_fingerprint("pdf") == parser_fingerprint("pdf")


def test_fingerprints_and_workers_load_no_heavy_library() -> None:
    program = (
        "import sys; from rag_assets.ingest.parsing.parse import PARSERS, parser_fingerprint\n"
        "import rag_assets.ingest.parsing.worker\n"
        "[parser_fingerprint(name) for name in PARSERS]\n"
        "heavy = 'dagster polars torch lancedb pydantic trafilatura pypdfium2 mammoth docutils yaml'\n"
        "print(sorted(set(heavy.split()) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
