"""Listed objects → their bytes, in batches bounded by number and size; what cannot be read has a reason instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from rag_assets.errors import SourceObjectUnreadable, SourceObjectVanished
from rag_assets.ingest.parsing.batch import Read
from rag_assets.ingest.parsing.document import Rejection
from rag_assets.ingest.parsing.formats import format_of
from rag_assets.ingest.sources.source import Source, SourceObject
from rag_assets.store.digest import digest

BATCH_DOCUMENTS = 1024
BATCH_BYTES = 16_000_000
READERS = 16  # concurrent reads: an S3 source answers in tens of milliseconds

Listed = tuple[str, Source, SourceObject]
"""Prefix of a source, the source, and an object that it lists."""


def batches_of(
    listed: Sequence[Listed], max_bytes: int, documents: int = BATCH_DOCUMENTS
) -> Iterator[Sequence[Listed]]:
    """Slices of at most so many documents, and of few bytes unless one document alone has more.

    Args:
        listed: what to read.
        max_bytes: larger documents are not read.
        documents: of a slice, at most.
    """
    start = 0
    while start < len(listed):
        size, end = 0, start
        while end < len(listed) and end - start < documents and (size < BATCH_BYTES or end == start):
            size += min(listed[end][2].size, max_bytes)
            end += 1
        yield listed[start:end]
        start = end


def read_batch(listed: Sequence[Listed], max_bytes: int) -> tuple[list[Read], list[str]]:
    """Read objects side by side. Returns them, and the ids of those that are gone."""
    with ThreadPoolExecutor(READERS) as pool:
        found = [*pool.map(lambda entry: _read(entry, max_bytes), listed)]
    gone = [item.document_id for (_, _, item), read in zip(listed, found, strict=True) if read is None]
    return [read for read in found if read is not None], gone


def _read(entry: Listed, max_bytes: int) -> Read | None:
    prefix, source, item = entry
    format = format_of(item.uri)
    rejection = None
    data = None
    if format is None:
        suffix = item.uri.rsplit("/", 1)[-1].rpartition(".")[2] if "." in item.uri else "none"
        rejection = Rejection("unsupported", f"no parser for files of this type (extension: {suffix})")
    elif item.size > max_bytes:
        rejection = Rejection("oversized", f"{item.size} bytes; parsing.max_bytes allows {max_bytes}")
    else:
        try:
            data = source.read(item, max_bytes)
        except SourceObjectVanished:
            return None
        except SourceObjectUnreadable as error:
            rejection = Rejection("unreadable", str(error))
    if data is not None and len(data) > max_bytes:  # it grew since it was listed
        data, rejection = (
            None,
            Rejection("oversized", f"parsing.max_bytes allows {max_bytes} bytes, it has more"),
        )
    key = None if data is None else digest(data)
    return Read(item, prefix, format, key, data, rejection)
