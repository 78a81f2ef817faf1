"""A local folder as a source: one walk with ``os.scandir``, one ``stat`` per file.

folder → walk (globs, symlinks inside the folder only) → SourceObject with times and size as version.
To see what a folder yields: ``for item in FolderSource(path).list(): print(item)``.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Iterator, MutableSequence, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from rag_assets.errors import SourceObjectUnreadable, SourceObjectVanished, SourceUnavailable
from rag_assets.sources.globs import VERSION_CONTROL, Globs
from rag_assets.sources.source import SourceObject, dated_version, uri_of

_log = logging.getLogger(__name__)
_GONE = (errno.ENOENT, errno.ENOTDIR)
_LOOP = (*_GONE, errno.ELOOP)


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
            top = Path(self._root).stat()
            for path, status in self._walk("", self._root, frozenset({(top.st_dev, top.st_ino)}), outside):
                yield self._object(path, status, listed_ns)
        except OSError as error:
            raise SourceUnavailable(
                f"could not list the folder {self._root}: {error.strerror}: {error.filename!r}. Nothing is taken "
                "from an incomplete listing, because what is absent from it would be deleted from the index."
            ) from error
        if outside:
            _log.warning(
                "%d links in %s lead out of it and are not followed: %s",
                len(outside),
                self._root,
                outside[:5],
            )

    def read(self, item: SourceObject | str) -> bytes:
        """The file's bytes. Raises SourceObjectVanished, SourceObjectUnreadable."""
        uri = uri_of(item)
        path = f"{self._root}/{os.fsdecode(unquote_to_bytes(uri))}"
        if not self._contains(os.path.realpath(path)):
            raise SourceObjectUnreadable(f"{uri}: lies outside the folder {self._root}")
        try:
            # Without O_NONBLOCK, opening a pipe that took the file's place would wait for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise SourceObjectVanished(f"{uri}: is no longer a regular file in {self._root}")
                return file.read()
        except OSError as error:
            if error.errno in _LOOP:
                raise SourceObjectVanished(f"{uri}: is no longer in the folder {self._root}") from error
            raise SourceObjectUnreadable(f"{uri}: could not be read: {error.strerror}") from error

    def _walk(
        self, relative: str, folder: str, above: frozenset[tuple[int, int]], outside: MutableSequence[str]
    ) -> Iterator[tuple[str, os.stat_result]]:
        """(relative path, status) of every file taken; ``above`` are the folders on the way down."""
        try:
            with os.scandir(folder) as listing:
                entries = [*listing]
        except OSError as error:
            if error.errno in _GONE and relative:
                return  # removed during the walk: its documents are gone
            raise
        for entry in entries:
            path = f"{relative}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if self._globs.enters(path):
                    yield from self._enter(path, entry, above, outside)
                continue
            linked = entry.is_symlink()
            if not linked and (entry.name in VERSION_CONTROL or not self._globs.takes(path)):
                continue
            if linked and not self._contains(os.path.realpath(entry.path)):
                outside.append(path)
                continue
            try:
                status = entry.stat()
            except OSError as error:
                if error.errno in _LOOP:
                    continue  # a dangling link, or removed during the walk
                raise
            if stat.S_ISREG(status.st_mode):
                if not linked or self._globs.takes(path):
                    yield path, status
            elif linked and stat.S_ISDIR(status.st_mode) and self._globs.enters(path):
                yield from self._enter(path, entry, above, outside)

    def _enter(
        self,
        path: str,
        entry: os.DirEntry[str],
        above: frozenset[tuple[int, int]],
        outside: MutableSequence[str],
    ) -> Iterator[tuple[str, os.stat_result]]:
        try:
            status = entry.stat()
        except FileNotFoundError:
            return
        identity = (status.st_dev, status.st_ino)
        if identity not in above:  # else a link back to a folder on the way down
            yield from self._walk(f"{path}/", entry.path, above | {identity}, outside)

    def _contains(self, real: str) -> bool:
        return real == self._root or real.startswith(self._root.rstrip("/") + "/")

    def _object(self, path: str, status: os.stat_result, listed_ns: int) -> SourceObject:
        # The change time too: tools that preserve or fix modification times cannot set it.
        stamp = f"{status.st_mtime_ns}-{status.st_ctime_ns}"
        raw = os.fsencode(path)
        return SourceObject(
            document_id=self._prefix + raw.decode("utf-8", "backslashreplace"),
            uri=quote_from_bytes(raw),
            version=dated_version(stamp, status.st_size, status.st_mtime_ns, listed_ns),
            size=status.st_size,
            modified=datetime.fromtimestamp(status.st_mtime, UTC),
        )
