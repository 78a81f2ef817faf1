"""Objects below an S3 prefix as a source: one listing, etags as versions.

prefix → ListObjects (1,000 per request) → globs → SourceObject. Credentials, region and endpoint
come from the AWS_… environment, as they do for the store.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rag_assets.errors import (
    SourceObjectUnreadable,
    SourceObjectVanished,
    SourceUnavailable,
    StoreUnavailable,
)
from rag_assets.ingest.sources.globs import Globs
from rag_assets.ingest.sources.source import SourceObject, below, dated_version, uri_of
from rag_assets.store.objects import ObjectInfo, ObjectNotFound, ObjectStore


class S3Source:
    """Objects below ``s3://bucket/prefix``.

    A uri is the whole ``s3://bucket/key``.

    Args:
        url: the prefix.
        include: globs of objects to take, relative to the prefix (gitignore syntax).
        exclude: globs of objects to leave out, after ``include``.
        prefix: put before each document id.
    """

    def __init__(
        self, url: str, include: Sequence[str] = ("**/*",), exclude: Sequence[str] = (), prefix: str = ""
    ) -> None:
        self._objects = ObjectStore.open(url)
        self._globs = Globs(include, exclude)
        self._prefix = prefix

    def list(self) -> Iterator[SourceObject]:
        """All objects that the globs take. Raises SourceUnavailable."""
        listed_ns = time.time_ns()
        try:
            for info in self._objects.list(""):
                if self._takes(info.path):
                    yield self._object(info, listed_ns)
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error

    def find(self, document_id: str) -> SourceObject | None:
        """One object by document id. Raises SourceUnavailable."""
        listed_ns = time.time_ns()
        path = below(self._prefix, document_id)
        if path is None or not self._takes(path):
            return None
        try:
            info = self._objects.info(path)
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        return None if info is None else self._object(info, listed_ns)

    def read(self, item: SourceObject | str, limit: int | None = None) -> bytes:
        """The object's bytes. Raises SourceObjectVanished, SourceUnavailable."""
        uri = uri_of(item)
        root = f"{self._objects.url}/"
        if not uri.startswith(root):
            raise SourceObjectUnreadable(f"{uri}: lies outside {root}")
        try:
            return self._objects.get(uri.removeprefix(root), limit)
        except ObjectNotFound as error:
            raise SourceObjectVanished(f"{uri}: is no longer there") from error
        except StoreUnavailable as error:
            raise SourceUnavailable(str(error)) from error

    def _takes(self, path: str) -> bool:
        folders = path.split("/")[:-1]
        above = ("/".join(folders[: depth + 1]) for depth in range(len(folders)))
        return self._globs.takes(path) and all(self._globs.enters(folder) for folder in above)

    def _object(self, info: ObjectInfo, listed_ns: int) -> SourceObject:
        modified_ns = int(info.modified.timestamp() * 1_000_000_000)
        return SourceObject(
            document_id=f"{self._prefix}{info.path}",
            uri=self._objects.uri(info.path),
            # An etag changes with the bytes; a server without etags leaves only the time stamp.
            version=info.etag or dated_version(str(modified_ns), info.size, modified_ns, listed_ns),
            size=info.size,
            modified=info.modified,
        )
