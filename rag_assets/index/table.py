"""The LanceDB table of a corpus: open it at a version, and keep foreign errors in.

``<store>/index/<corpus>.lance`` is one table with one lineage: every build adds versions,
tags name those that must stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from rag_assets.errors import StoreUnavailable, redacted
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from lance import LanceDataset
    from lancedb.db import DBConnection
    from lancedb.table import LanceTable

FOLDER = "index"
TAG_ATTEMPTS = 10
_MANIFEST = re.compile(r"/_versions/(\d+)\.manifest$")
CACHE_BYTES = 256 * 1024 * 1024  # a reader's index cache, at most


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
    """The corpus's table, pinned to a version or tag when one is given; None when there is no table.

    Raises:
        IndexUnavailable: the version or tag does not exist, or the store does not answer.
    """
    connection = connect(objects)
    with translated(f"open the index of {corpus!r} at {at if at is not None else 'the latest version'}"):
        try:
            table = connection.open_table(corpus)
        except (ValueError, FileNotFoundError) as error:
            if "not found" in str(error).lower():
                return None
            raise
        if at is not None:
            table.checkout(at)
        return table  # type: ignore[return-value]


def read_tags(objects: ObjectStore, corpus: str) -> dict[str, int]:
    """Lance version of every tag of the corpus's table; empty when there is no table.

    Through pylance, since importing LanceDB takes a second that a run with nothing to do can save.
    """
    import lance

    with translated(f"read the tags of {corpus!r}"):
        try:
            dataset = lance.dataset(
                objects.uri(f"{FOLDER}/{corpus}.lance"), storage_options=objects.storage_options or None
            )
        except (ValueError, FileNotFoundError) as error:
            if "not found" in str(error).lower():
                return {}
            raise
        return _list_tags(dataset)


def drop_tag(objects: ObjectStore, corpus: str, name: str) -> None:
    """Drop a tag of the corpus's table; one that is not there is no error."""
    table = open_table(objects, corpus)
    if table is None:
        return
    with translated(f"drop the tag {name} of {corpus!r}"):
        try:
            table.tags.delete(name)
        except (RuntimeError, ValueError, OSError):
            if name in read_tags(objects, corpus):  # else another process dropped it
                raise


def written(objects: ObjectStore, corpus: str) -> dict[int, datetime]:
    """When each version of the corpus's table was written, on the clock of the store.

    The manifests themselves hold times of the machines that wrote them.
    """
    return {
        _version(match[1]): info.modified
        for info in objects.list(f"{FOLDER}/{corpus}.lance/_versions")
        if (match := _MANIFEST.search(info.path))
    }


def tagged(objects: ObjectStore, corpus: str) -> dict[str, datetime]:
    """When each tag of the corpus's table was written last, on the clock of the store."""
    return {
        info.path.rsplit("/", 1)[1].removesuffix(".json"): info.modified
        for info in objects.list(f"{FOLDER}/{corpus}.lance/_refs/tags")
    }


def _version(name: str) -> int:
    """The version of a manifest by its name: Lance counts down from 2⁶⁴ - 1, so that the newest is listed first."""
    number = int(name)
    return 2**64 - 1 - number if len(name) == 20 else number


def _moving(error: BaseException) -> bool:
    """Whether tags were written while they were read.

    Lance lists the tags and then reads each: one that is dropped in between is not found. It asks for a
    tag's size and then for as many bytes: one that moves in between may be cut off.
    """
    return isinstance(error, (RuntimeError, ValueError, OSError)) and (
        "_refs/tags" in str(error) or "refs.rs" in str(error)
    )


@retry(
    retry=retry_if_exception(_moving),
    stop=stop_after_attempt(TAG_ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.01, max=0.5),
    reraise=True,
)
def _list_tags(dataset: LanceDataset) -> dict[str, int]:
    return {name: int(tag["version"]) for name, tag in dataset.tags.list().items()}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn LanceDB's errors into this package's."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise IndexUnavailable(f"could not {what}: {redacted(reason.strip())}") from error
