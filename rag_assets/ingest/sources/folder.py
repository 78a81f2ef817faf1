"""A local folder as a source: one walk with ``os.scandir``, one ``stat`` per file.

folder → walk (globs, symlinks inside the folder only) → SourceObject with times and size as version.
To see what a folder yields: ``for item in FolderSource(path).list(): print(item)``.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterator, MutableSequence, Sequence
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from rag_assets.errors import SourceMissing, SourceObjectUnreadable, SourceObjectVanished, SourceUnavailable
from rag_assets.escapes import logger
from rag_assets.ingest.sources.globs import Globs
from rag_assets.ingest.sources.source import SourceObject, below, dated_version, uri_of

_log = logger(__name__)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NO_SUCH = (*_GONE, errno.ENAMETOOLONG)
_NO_FILE = (*_GONE, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP, errno.EMLINK)
"""What opening a socket, a device or, without following, a link fails with, besides what is gone."""
SMALLEST_BLOCK = 65_536
_TRIES = 5
"""How often a path is resolved anew that changes between being resolved and being opened."""
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe that took the file's place would wait for ever.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


class FolderSource:
    """Files below a folder.

    Symbolic links count as what they point to, as long as that lies inside the folder; links
    that lead out of it, dangling ones and cycles are not followed. Version-control folders
    are never entered. A uri is the relative path, percent-encoded, so that it can name every
    file and no machine.

    Args:
        root: the folder.
        include: globs of files to take (gitignore syntax).
        exclude: globs of files to leave out, after ``include``.
        prefix: put before each document id.
    """

    def __init__(
        self, root: Path, include: Sequence[str] = ("**/*",), exclude: Sequence[str] = (), prefix: str = ""
    ) -> None:
        self._root = os.path.realpath(root)
        self._globs = Globs(include, exclude)
        self._prefix = prefix

    def list(self) -> Iterator[SourceObject]:
        """All files that the globs take. Raises SourceUnavailable if any folder cannot be listed."""
        listed_ns = time.time_ns()
        outside: list[str] = []
        try:
            for path, status in self._walk(outside):
                yield self._object(path, status, listed_ns)
        except OSError as error:
            if not Path(self._root).is_dir():
                raise SourceMissing(
                    f"could not list the folder {self._root}: there is no such folder"
                ) from error
            raise SourceUnavailable(
                f"could not list the folder {self._root}: {error.strerror}: {error.filename!r}. An "
                "incomplete listing is not used: what is absent from it would be deleted from the index."
            ) from error
        if outside:
            message = "%d links in %s lead out of it and are not followed: %s"
            _log.warning(message, len(outside), self._root, ", ".join(outside[:5]))

    def find(self, document_id: str) -> SourceObject | None:
        """One file by document id. Raises SourceUnavailable, SourceMissing."""
        listed_ns = time.time_ns()
        path = below(self._prefix, document_id)
        if path is None or "\0" in path:
            return None
        try:
            for name in _names(path):
                status = self._status(name)
                if status is not None:
                    return self._object(name, status, listed_ns)
        except OSError as error:
            raise SourceUnavailable(f"could not look at {path} in {self._root}: {error.strerror}") from error
        if not Path(self._root).is_dir():
            raise SourceMissing(f"could not look into the folder {self._root}: there is no such folder")
        return None

    def read(self, item: SourceObject | str, limit: int | None = None) -> bytes:
        """The file's bytes. Raises SourceObjectVanished, SourceObjectUnreadable, SourceUnavailable."""
        uri = uri_of(item)
        path = f"{self._root}/{os.fsdecode(unquote_to_bytes(uri))}"
        try:
            for _ in range(_TRIES if "\0" not in path else 0):
                real = self._resolved(path)
                if real is None:
                    raise SourceObjectUnreadable(f"{uri}: lies outside the folder {self._root}")
                data = _read_regular(self._root, real[len(self._root) :].strip("/"), limit)
                if data is not None:
                    return data
        except PermissionError as error:
            raise SourceObjectUnreadable(f"{uri}: could not be read: {error.strerror}") from error
        except OSError as error:
            raise SourceUnavailable(f"could not read {uri} in {self._root}: {error.strerror}") from error
        if not Path(self._root).is_dir():
            raise SourceUnavailable(f"could not read {uri}: there is no folder {self._root} any more")
        raise SourceObjectVanished(f"{uri}: is no longer a file in the folder {self._root}")

    def _walk(self, outside: MutableSequence[str]) -> Iterator[tuple[str, os.stat_result]]:
        """(relative path, status) of every file taken. Links that lead out are put into ``outside``."""
        # Folders to list, each with the identities (device, inode) of those above it: a link back to
        # one of these is a cycle.
        pending: list[tuple[str, str, frozenset[tuple[int, int]]]] = [("", self._root, frozenset())]
        while pending:
            relative, folder, above = pending.pop()
            try:
                status = Path(folder).stat()
                with os.scandir(folder) as listing:
                    entries = [*listing]
            except OSError as error:
                if relative and error.errno in _GONE:
                    continue  # removed during the walk: its documents are gone
                raise
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                continue
            for entry in entries:
                path = f"{relative}{entry.name}"
                if entry.is_symlink() and self._resolved(entry.path) is None:
                    if self._globs.takes(path) or self._globs.enters(path):
                        outside.append(path)
                    continue
                try:
                    if entry.is_dir():
                        if self._globs.enters(path):
                            pending.append((f"{path}/", entry.path, above | {identity}))
                    elif self._globs.takes(path) and stat.S_ISREG((status := entry.stat()).st_mode):
                        yield path, status
                except OSError as error:
                    if error.errno not in _GONE:  # else a dangling link, or removed during the walk
                        raise

    def _status(self, path: str) -> os.stat_result | None:
        """Status of one file under the rules of ``_walk``; None if that would not come to it."""
        parts = path.split("/")
        above: set[tuple[int, int]] = set()
        for depth in range(len(parts)):
            folder = "/".join(parts[:depth])
            if folder and not (
                self._globs.enters(folder) and self._resolved(f"{self._root}/{folder}") is not None
            ):
                return None
            try:
                status = Path(self._root, folder).stat()
            except OSError as error:
                if error.errno in _NO_SUCH:
                    return None
                raise
            if (status.st_dev, status.st_ino) in above:
                return None
            above.add((status.st_dev, status.st_ino))
        if not self._globs.takes(path) or self._resolved(f"{self._root}/{path}") is None:
            return None
        try:
            status = Path(self._root, path).stat()
        except OSError as error:
            if error.errno in _NO_SUCH:
                return None
            raise
        return status if stat.S_ISREG(status.st_mode) else None

    def _resolved(self, path: str) -> str | None:
        """A path without links; None where it leads out of the folder, or changes each time it is resolved."""
        for _ in range(_TRIES):
            try:
                real = os.path.realpath(path)
            except OSError as error:
                # A link that was replaced by something else between being noticed and being read.
                if error.errno in (*_GONE, errno.EINVAL):
                    continue
                raise
            return real if real == self._root or real.startswith(self._root.rstrip("/") + "/") else None
        return None

    def _object(self, path: str, status: os.stat_result, listed_ns: int) -> SourceObject:
        # The change time too: tools that preserve or fix modification times cannot set it.
        stamp = f"{status.st_mtime_ns}-{status.st_ctime_ns}"
        raw = os.fsencode(path)
        return SourceObject(
            document_id=self._prefix + raw.decode("utf-8", "backslashreplace"),
            uri=quote_from_bytes(raw),
            version=dated_version(stamp, status.st_size, status.st_mtime_ns, listed_ns),
            size=status.st_size,
            modified=_moment(status.st_mtime),
        )


def _read_regular(root: str, path: str, limit: int | None) -> bytes | None:
    """Bytes of a file below a folder, by a path without links; None if there is no regular file at that path.

    Each part is opened in the folder before it and no link is followed: whatever is put in the place of
    a part after the path was resolved, nothing outside the folder is opened.
    """
    *parts, name = path.split("/")
    opened: list[int] = []
    try:
        opened.append(os.open(root, _FOLDER))
        for part in parts:
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
        opened.append(os.open(name, _FILE, dir_fd=opened[-1]))
        status = os.fstat(opened[-1])
        if not stat.S_ISREG(status.st_mode):
            return None
        with open(opened.pop(), "rb", buffering=0) as file:
            return _read_up_to(file, sys.maxsize if limit is None else limit + 1, status.st_size + 1)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _read_up_to(file: FileIO, left: int, block: int) -> bytes:
    """What a file holds, and no more than ``left`` however fast it grows."""
    parts = []
    while left and (part := file.read(min(left, max(block, SMALLEST_BLOCK)))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _moment(seconds: float) -> datetime:
    """A time of a file. File systems keep years that no calendar has; such a time becomes the first or the last one."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _FIRST if seconds < 0 else _LAST


def _names(path: str) -> Iterator[str]:
    """File names that may have made this part of a document id: bytes that are no UTF-8 stand there escaped."""
    yield path
    if _ESCAPED.search(path):
        pieces = _ESCAPED.split(path)
        raw = b"".join(
            bytes.fromhex(piece) if number % 2 else piece.encode() for number, piece in enumerate(pieces)
        )
        yield os.fsdecode(raw)
