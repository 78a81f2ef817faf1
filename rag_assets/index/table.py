"""The LanceDB table of a corpus: open it at a version, and keep foreign errors in.

``<store>/index/<corpus>.lance`` is one table with one lineage: every build adds versions,
tags name those that must stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rag_assets.errors import PublicationConflict, StoreUnavailable, redacted
from rag_assets.index.lance_files import FOLDER, table_folder, tag_path
from rag_assets.index.mending import drop_broken_build
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from lance.dataset import Tags
    from lancedb.db import DBConnection
    from lancedb.table import LanceTable

CACHE_BYTES = 256 * 1024 * 1024  # a reader's index cache, at most
_PLACE = re.compile(r"(?:lance error: )?LanceError\(\w+\): |^lance error: |,? \S+\.rs:\d+:\d+")
"""What LanceDB adds for its developers: kinds of errors, and places in its source code."""
_CONFLICT = re.compile(r"(?i)commit conflict|conflicting transaction|incompatible transaction")


class IndexUnavailable(StoreUnavailable):
    """LanceDB could not do what was asked of it."""


def connect(objects: ObjectStore) -> DBConnection:
    """A LanceDB connection of its own, with a bounded cache, to the store's tables."""
    for variable in ("LANCE_LOG", "LANCEDB_LOG"):
        os.environ.setdefault(variable, "error")  # a warning per created table is no news to users
    import lancedb

    session = lancedb.Session(index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=CACHE_BYTES // 4)
    with translated(f"connect to {objects.uri(FOLDER)}"):
        return lancedb.connect(
            objects.uri(FOLDER), storage_options=objects.storage_options or None, session=session
        )


def open_table(objects: ObjectStore, corpus: str, at: int | str | None = None) -> LanceTable | None:
    """The corpus's table, pinned to a version or tag when one is given; else None when there is no table.

    Where a power cut left the newest manifest cut off, and no publication names it, it is deleted first.

    Raises:
        IndexUnavailable: the version or tag does not exist, or the store does not answer.
    """
    try:
        return _open(objects, corpus, at)
    except IndexUnavailable:
        if not drop_broken_build(objects, corpus):
            raise
    return _open(objects, corpus, at)


def _open(objects: ObjectStore, corpus: str, at: int | str | None) -> LanceTable | None:
    connection = connect(objects)
    with translated(f"open the index of {corpus!r} at {at if at is not None else 'the latest version'}"):
        try:
            table = connection.open_table(corpus)
        except (ValueError, FileNotFoundError) as error:
            if at is None and "not found" in str(error).lower():
                return None
            raise
        if at is not None:
            table.checkout(at)
        return table  # type: ignore[return-value]


def tags_at(objects: ObjectStore, corpus: str, version: int) -> Tags:
    """The tags of the corpus's table, to create or move one to this version: nothing else of the table is opened.

    Raises:
        IndexUnavailable: there is no such version.
    """
    import lance

    with translated(f"open version {version} of the index of {corpus!r}"):
        uri, options = objects.uri(table_folder(corpus)), objects.storage_options or None
        return lance.dataset(uri, version=version, storage_options=options).tags


def drop_tag(objects: ObjectStore, corpus: str, name: str) -> None:
    """Drop a tag of the corpus's table; one that is not there is no error."""
    objects.delete([tag_path(corpus, name)])


PANICS = ("RustPanic", "PanicException")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn LanceDB's errors into this package's.

    Raises:
        PublicationConflict: another process wrote to the table at the same time.
        IndexUnavailable: everything else.
    """
    try:
        yield
    except BaseException as error:
        # A damaged file makes Lance panic now and then. Neither kind of panic can be imported, and one is no Exception.
        if not isinstance(error, RuntimeError | ValueError | OSError) and type(error).__name__ not in PANICS:
            raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = redacted(_PLACE.sub("", lines[0].strip()) if lines else type(error).__name__)
        if _CONFLICT.search(reason):
            raise PublicationConflict(
                f"could not {what}: another run wrote to the index at the same time; run again"
            ) from error
        raise IndexUnavailable(
            f"could not {what}: {reason}; run again: a run mends a damaged index, or says what helps"
        ) from error
