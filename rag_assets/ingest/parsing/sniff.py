"""Does a file hold what its name promises? A table of signatures, checked before any parser runs.

Only signatures that cannot open a normal text are listed; a library that guesses text formats
would quarantine honest files.
"""

from __future__ import annotations

import io
import re
import zipfile

from rag_assets.ingest.parsing.document import Unparseable

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = b"PK\x03\x04"
SIGNATURES = (
    (b"%PDF-", "a PDF file"),
    (OLE, "an OLE file (old Office format)"),
    (b"{\\rtf1", "an RTF file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "an ELF program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
)
HTML_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype\s+html|<html[\s>])", re.IGNORECASE)
PDF_HEADER_WINDOW = 1024  # bytes in which readers look for %PDF-
NAMES = {
    "markdown": "Markdown",
    "html": "HTML",
    "rst": "reStructuredText",
    "text": "plain text",
    "pdf": "a PDF file",
    "docx": "a Word document",
}


def check_type(data: bytes, format: str) -> None:
    """Raise Unparseable (wrong_type, encrypted or corrupt) when the bytes are not of this format."""
    if format == "pdf":
        if b"%PDF-" in data[:PDF_HEADER_WINDOW]:
            return
        found = _found(data)
        if found:
            raise _wrong(format, found)
        raise Unparseable("corrupt", f"No %PDF- header in the first {PDF_HEADER_WINDOW} bytes.")
    if format == "docx":
        _check_docx(data)
        return
    found = _found(data)
    if found and not (found == "HTML" and format in ("html", "text")):
        raise _wrong(format, found)


def _wrong(format: str, found: str) -> Unparseable:
    return Unparseable("wrong_type", f"The name says {NAMES[format]}, the content is {found}.")


def _found(data: bytes) -> str | None:
    for signature, name in SIGNATURES:
        if data.startswith(signature):
            return name
    if data.startswith(ZIP):
        return _zip_kind(data)
    return "HTML" if HTML_START.match(data, 0, 4096) else None


def _zip_kind(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            word = "word/document.xml" in names or any(
                name.endswith("Types].xml") and b"wordprocessingml.document.main" in archive.read(name)
                for name in names
                if archive.getinfo(name).file_size < 1_000_000
            )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError):
        return "a damaged ZIP archive"
    if word:
        return "a Word document"
    if "xl/workbook.xml" in names:
        return "an Excel workbook"
    if "ppt/presentation.xml" in names:
        return "a PowerPoint presentation"
    return "a ZIP archive"


def _check_docx(data: bytes) -> None:
    if data.startswith(OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise Unparseable("encrypted", "The Word document is protected by a password.")
        raise _wrong("docx", "an OLE file (old Office format)")
    found = _found(data)
    if found is None or found == "a damaged ZIP archive":
        raise Unparseable("corrupt", "The file is not a readable ZIP archive, as a Word document must be.")
    if found != "a Word document":
        raise _wrong("docx", found)
