"""Documents that events brought along, kept in the store: a source that is written by what it is told.

``put`` and ``delete`` follow the events, ``list``, ``find`` and ``read`` serve a run. A document
is one object whose key says everything a listing needs: its path, folders marked with ``+`` and
the last name with ``=`` (so that ``a`` and ``a/b`` may both be documents), and the extension of
the parser that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote

from rag_assets.errors import (
    SourceObjectUnreadable,
    SourceObjectVanished,
    SourceUnavailable,
    StoreUnavailable,
)
from rag_assets.ingest.sources.source import SourceObject, below, uri_of
from rag_assets.store.objects import ObjectInfo, ObjectNotFound, ObjectStore

LONGEST_NAME = 200
"""Bytes of one part of a document id, percent-encoded: file systems allow 255 with the marks."""
LONGEST_PATH = 600
"""Bytes of a whole id, percent-encoded: object stores allow 1,024 for a key, the store's own prefix included."""


_DOCUMENT = re.compile(r"(?:[^/]+\+/)*[^/]+=/content\.\w+")


def why_no_place(prefix: str, document_id: str) -> str | None:
    """Why a document id has no place in the source of a prefix; None when it has one."""
    if not document_id.startswith(prefix):
        return f"it does not begin with the prefix {prefix!r} of its source"
    path = below(prefix, document_id)
    if path is None:
        rest = document_id.removeprefix(prefix)
        if not rest:
            return f"nothing follows the prefix {prefix!r} of its source"
        if rest.startswith("/"):
            return f"the prefix {prefix!r} of its source lacks its slash: write prefix: {prefix}/ in the corpus file"
        return f"after the prefix {prefix!r} of its source, it has an empty part, '.' or '..'"
    names = [quote(part, safe="") for part in (prefix, *path.split("/"))]
    longest = max(names, key=len)
    if len(longest) > LONGEST_NAME:
        return (
            f"percent-encoded, its part {longest[:40]}… has {len(longest)} bytes; {LONGEST_NAME} are allowed"
        )
    length = sum(len(name) + 2 for name in names) - 2  # with mark and slash
    if length > LONGEST_PATH:
        return f"percent-encoded, and with 2 bytes for each part, it has {length} bytes; {LONGEST_PATH} are allowed"
    return None


def can_hold(prefix: str, document_id: str) -> bool:
    """Whether a document id has a place in the source of a prefix."""
    return why_no_place(prefix, document_id) is None


class PushSource:
    """What events pushed for one source of a corpus.

    A uri is the object's path in the store.

    Args:
        objects: the store.
        corpus: name of the corpus.
        prefix: what the ids of this source's documents start with.
    """

    def __init__(self, objects: ObjectStore, corpus: str, prefix: str) -> None:
        self._objects = objects
        self._root = f"corpora/{corpus}/pushed/{quote(prefix, safe='') or '+'}"
        self._prefix = prefix

    def put(self, document_id: str, data: bytes, extension: str) -> None:
        """Keep a document. ``extension``: of the parser that is to read it, with its dot."""
        uri = f"{self._folder(document_id)}/content{extension}"
        self._objects.put(uri, data)
        self._objects.delete(info.path for info in self._kept(document_id) if info.path != uri)

    def delete(self, document_id: str) -> None:
        """Let a document go; one that is not there is no error."""
        self._objects.delete(info.path for info in self._kept(document_id))

    def list(self) -> Iterator[SourceObject]:
        """All documents. Raises SourceUnavailable."""
        newest: dict[str, ObjectInfo] = {}
        try:
            for info in self._documents_below(self._root):
                folder = info.path.rpartition("/")[0]
                # Two of one document are there while a put with another extension is under way.
                if folder not in newest or newest[folder].modified < info.modified:
                    newest[folder] = info
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        yield from map(self._object, newest.values())

    def find(self, document_id: str) -> SourceObject | None:
        """One document. Raises SourceUnavailable."""
        if not can_hold(self._prefix, document_id):
            return None
        try:
            found = self._kept(document_id)
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        return self._object(max(found, key=lambda info: info.modified)) if found else None

    def read(self, item: SourceObject | str, limit: int | None = None) -> bytes:
        """The document's bytes. Raises SourceObjectVanished, SourceObjectUnreadable, SourceUnavailable."""
        uri = uri_of(item)
        if not uri.startswith(f"{self._root}/"):
            raise SourceObjectUnreadable(f"{uri}: lies outside {self._root}")
        try:
            return self._objects.get(uri, limit)
        except ObjectNotFound as error:
            raise SourceObjectVanished(f"{uri}: is no longer there") from error
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error

    def _kept(self, document_id: str) -> Sequence[ObjectInfo]:
        return [*self._documents_below(self._folder(document_id))]

    def _documents_below(self, folder: str) -> Iterator[ObjectInfo]:
        """Objects that hold documents; other files are left alone."""
        for info in self._objects.list(folder):
            if _DOCUMENT.fullmatch(info.path.removeprefix(f"{self._root}/")):
                yield info

    def _folder(self, document_id: str) -> str:
        *folders, name = document_id.removeprefix(self._prefix).split("/")
        above = "".join(f"{quote(folder, safe='')}+/" for folder in folders)
        return f"{self._root}/{above}{quote(name, safe='')}="

    def _object(self, info: ObjectInfo) -> SourceObject:
        *folders, name, _ = info.path.removeprefix(f"{self._root}/").split("/")
        path = "/".join(unquote(part[:-1]) for part in (*folders, name))
        return SourceObject(
            document_id=f"{self._prefix}{path}",
            uri=info.path,
            version=info.etag or f"{info.modified.timestamp()}-{info.size}",
            size=info.size,
            modified=info.modified,
        )
