"""Mend the table of a corpus where files of it were cut off or lost: the least that lets all else be read.

A power cut may leave the newest manifest empty: that of a build that was under way, which no publication
names. LanceDB then opens no version at all. And where a published version has lost its manifest, the next
build could be given its number, and readers of the old tag would see what nobody published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rag_assets.index.lance_files import TagFile, is_whole, manifests, read_tag_files, tag_path
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectNotFound, ObjectStore

_OF_BUILDS = re.compile(r"(cand|hold)-.*")


def lost_versions(objects: ObjectStore, corpus: str, versions: Iterable[int]) -> set[int]:
    """Those of some versions whose manifest is gone or cut off."""
    found = manifests(objects, corpus)
    files = [file for file in read_tag_files(objects, corpus).values() if isinstance(file, TagFile)]
    sizes = {file.version: file.manifest_bytes for file in files}

    def is_lost(version: int) -> bool:
        if version not in found:
            return True
        size = sizes.get(version)
        return found[version].size != size if size else not is_whole(objects.get(found[version].path))

    return {version for version in set(versions) if is_lost(version)}


def drop_broken_build(objects: ObjectStore, corpus: str) -> bool:
    """Delete the newest manifests where they were cut off and belong to no publication. True if there were any."""
    found = manifests(objects, corpus)
    tags = read_tag_files(objects, corpus)
    dropped = False
    for version in sorted(found, reverse=True):
        path = found[version].path
        try:
            if is_whole(objects.get(path)):
                break
        except ObjectNotFound:  # another process has dropped it
            dropped = True
            continue
        names = [name for name, file in tags.items() if isinstance(file, TagFile) and file.version == version]
        if not all(_OF_BUILDS.fullmatch(name) for name in names):
            break  # published: its number must not be given out again while a tag names it
        warn(f"{objects.uri(path)} is damaged: it was cut off; the build that it belongs to is dropped")
        objects.delete([*(tag_path(corpus, name) for name in names), path])
        dropped = True
    return dropped
