"""Flush a local store to the disk: what is announced must not outlive, in a power cut, what it rests on.

Folders below the store → files that were written since a time → fsync, of many at once. Files are
flushed when something is to rest on them, and not one by one as they are written: a journal takes many
in one go. Object stores need none of this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FLUSHES_AT_ONCE = 16


def flush(root: Path, places: Iterable[str], since: float) -> None:
    """Flush files and folders, and the folders above them up to the root.

    Args:
        root: folder of the store.
        places: folders below it; those that are missing are left out.
        since: what has not changed since then is on the disk already; seconds since 1970.

    Raises:
        OSError: the disk failed.
    """
    places = [place for place in places if (root / place).is_dir()]
    above = {folder for place in places for folder in (root / place).parents if folder.is_relative_to(root)}
    with ThreadPoolExecutor(FLUSHES_AT_ONCE) as pool:
        for place in places:
            for _ in pool.map(_flush, _changed(root / place, since)):
                pass
        for _ in pool.map(_flush, map(str, above)):
            pass


def _changed(folder: Path, since: float) -> Iterator[str]:
    """Files and folders that changed. An object that is written is renamed into its folder, which changes, too."""
    for path, _, names in os.walk(folder):
        if _changed_at(path) >= since:
            found = (f"{path}/{name}" for name in names)
            yield from (name for name in found if _changed_at(name) >= since)
            yield path


def _changed_at(path: str) -> float:
    try:
        return Path(path).stat().st_ctime
    except FileNotFoundError:
        return 0.0  # deleted meanwhile


def _flush(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # deleted meanwhile
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
