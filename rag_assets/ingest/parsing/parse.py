"""Bytes of one document → text, title, metadata: a pure function, and what it depends on.

type check → the format's module → normal form. To try one file alone::

    python -c "import sys, pathlib; from rag_assets.ingest.parsing.parse import parse
    print(parse(pathlib.Path(sys.argv[1]).read_bytes(), sys.argv[2]).text)" report.pdf pdf

It sets no limits: use ``pool`` for documents that nobody has looked at.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata as distributions

from rag_assets.errors import well_formed
from rag_assets.ingest.parsing.bounds import MAX_TITLE, MAX_WARNINGS, shortened
from rag_assets.ingest.parsing.document import ParsedDocument, Unparseable
from rag_assets.ingest.parsing.headings import long_headings
from rag_assets.ingest.parsing.metadata import bounded
from rag_assets.ingest.parsing.sniff import check_type
from rag_assets.store.digest import digest


@dataclass(frozen=True, slots=True)
class Parser:
    """One parser of ours and what its results depend on.

    Attributes:
        module: has ``parse(bytes) -> ParsedDocument``.
        version: ours; raise it whenever the same bytes would give another result.
        libraries: distributions whose version may change the result.
    """

    module: str
    version: int
    libraries: tuple[str, ...]


PARSERS = {
    "markdown": Parser("rag_assets.ingest.parsing.markdown", 2, ("charset-normalizer", "pyromark", "pyyaml")),
    "html": Parser(
        "rag_assets.ingest.parsing.html",
        2,
        ("charset-normalizer", "html-to-markdown", "selectolax", "trafilatura"),
    ),
    "rst": Parser("rag_assets.ingest.parsing.rst", 3, ("charset-normalizer", "docutils", "html-to-markdown")),
    "text": Parser("rag_assets.ingest.parsing.text", 1, ("charset-normalizer",)),
    "pdf": Parser("rag_assets.ingest.parsing.pdf", 1, ("pypdfium2",)),
    "docx": Parser("rag_assets.ingest.parsing.docx", 1, ("html-to-markdown", "mammoth", "selectolax")),
}


def parse(data: bytes, format: str) -> ParsedDocument:
    """Text, title and metadata of one document.

    Args:
        data: the file.
        format: as ``formats.format_of`` names it.

    Raises:
        Unparseable: with reason and one sentence, for anything that is wrong with the document.
        MemoryError: the document needs more memory than there is.
    """
    parser = PARSERS.get(format)
    if parser is None:
        raise Unparseable("unsupported", f"No parser reads the format {format!r}.")
    if not data.strip():
        raise Unparseable("empty", f"The file has {len(data)} bytes and none of them is text.")
    module = importlib.import_module(parser.module)
    try:
        check_type(data, format)
        document: ParsedDocument = module.parse(data)
        text = well_formed(document.text)
        metadata, warnings = bounded(document.metadata)
        warnings += _warnings(document.title, text)
    except (Unparseable, MemoryError):
        raise
    except Exception as error:  # the seam: whatever a library raises on bad bytes is the document's fault
        message = well_formed(" ".join(str(error)[:1000].split())[:200]) or "no further message"
        raise Unparseable(
            "corrupt", f"The {format} parser failed with {type(error).__name__}: {message}."
        ) from error
    if not text.strip():
        raise Unparseable("empty", "The document was read and holds no text.")
    if len(warnings) > MAX_WARNINGS:
        warnings[MAX_WARNINGS - 1 :] = [f"And {len(warnings) - MAX_WARNINGS + 1} more warnings."]
    title = well_formed(shortened(document.title, MAX_TITLE))
    return ParsedDocument(text, title, metadata, tuple(warnings))


def _warnings(title: str, text: str) -> Iterator[str]:
    if len(title) > MAX_TITLE:
        yield f"The title was cut: it has {len(title):,} characters, and {MAX_TITLE} are kept."
    number = long_headings(text)
    if number:
        yield f"Heading paths were cut: headings with more than {MAX_TITLE} characters: {number}."


@cache
def parser_fingerprint(format: str) -> str:
    """Digest of all that, besides the bytes, determines what ``parse`` returns for this format.

    Loads none of the libraries. Raises KeyError for an unknown format.
    """
    parser = PARSERS[format]
    versions = [f"{name}={distributions.version(name)}" for name in parser.libraries]
    return digest(format, str(parser.version), *versions)
