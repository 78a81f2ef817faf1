"""What every source is: it lists objects with versions and reads one of them.

A version is an opaque string: equal versions mean equal bytes, so what has the version of the
previous listing is not read. The reverse does not hold: a new version may have the old bytes,
which costs one read and no further work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

RACY_NANOSECONDS = 2_000_000_000
"""Coarsest time stamp in common use (FAT: 2 s; many object stores and network drives: 1 s)."""


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One listed object.

    Attributes:
        document_id: stable for the object's place: the source's prefix and its relative path.
        uri: where ``Source.read`` finds it again; names no machine.
        version: equal only if the bytes are equal.
        size: bytes.
        modified: time zone aware.
    """

    document_id: str
    uri: str
    version: str
    size: int
    modified: datetime


class Source(Protocol):
    """A place with documents. Implementations hold no connection and may be used by many threads."""

    def list(self) -> Iterator[SourceObject]:
        """All objects, in no promised order, each once.

        Raises:
            SourceUnavailable: if any part could not be listed. A listing is complete or it fails:
                what is absent from it is going to be deleted from the index.
        """
        ...

    def find(self, document_id: str) -> SourceObject | None:
        """One object by document id, exactly as ``list`` would give it; None if ``list`` would not.

        Raises:
            SourceUnavailable: the source did not answer.
        """
        ...

    def read(self, item: SourceObject | str, limit: int | None = None) -> bytes:
        """The bytes of a listed object, or of its uri.

        Args:
            item: the object.
            limit: an object may have grown since it was listed. Of one with more bytes than these, one more is read.

        Raises:
            SourceObjectVanished: it is no longer there.
            SourceObjectUnreadable: it is there and cannot be read (permissions, not a regular file).
            SourceUnavailable: the source did not answer.
        """
        ...


def dated_version(stamp: str, size: int, modified_ns: int, listed_ns: int) -> str:
    """Version of an object whose source gives time stamps and no content tag.

    A time stamp has a granularity. An object modified at the very time of the listing may be
    modified once more within the same tick, to the same size, and its stamp would not tell.
    So an object younger than the coarsest tick gets a version that holds the time of the
    listing: no later listing repeats it, and the object is read again next time. (git treats
    "racily clean" index entries in the same way.) Times in the future count as young.

    Args:
        stamp: the time stamps that are to make up the version.
        size: bytes.
        modified_ns: last modification, nanoseconds since 1970.
        listed_ns: when the listing began, in the same unit.
    """
    if modified_ns > listed_ns - RACY_NANOSECONDS:
        return f"{stamp}-{size}-listed-{listed_ns}"
    return f"{stamp}-{size}"


def below(prefix: str, document_id: str) -> str | None:
    """The part of a document id after a source's prefix; None where it names no place below the source."""
    path = document_id.removeprefix(prefix)
    if not document_id.startswith(prefix) or any(part in ("", ".", "..") for part in path.split("/")):
        return None
    return path


def uri_of(item: SourceObject | str) -> str:
    """The uri of an object, or the uri itself."""
    return item if isinstance(item, str) else item.uri
