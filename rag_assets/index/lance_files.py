"""The files of a corpus's Lance table, as the format's description names them: tags and manifests.

Read here and not through Lance where a damaged file must not hide the others: Lance lists no tag at all
where one is damaged, or moves while it is read, and opens no version where the newest manifest is.

https://lance.org/format/table/branch_tag/, https://lance.org/format/table/
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field, TypeAdapter

from rag_assets.store.files import ObjectDamaged, read_record
from rag_assets.store.objects import ObjectInfo, ObjectLost, ObjectStore

FOLDER = "index"
# Tags are read some forty times in a run: to start threads for each took a quarter of a small run.
_readers = ThreadPoolExecutor(16, "tags")
_TAG_NAME = re.compile(r".*/_refs/tags/([^/]+)\.json")
_MANIFEST_NAME = re.compile(r".*/_versions/(\d+)\.manifest")
_MANIFEST_END = b"LANC"


@dataclass(frozen=True)
class TagFile:
    """What a tag's file says: a Lance version, and the size of its manifest in bytes."""

    version: int
    manifest_bytes: Annotated[int | None, Field(alias="manifestSize")] = None


_TAG_FILE = TypeAdapter(TagFile)


def table_folder(corpus: str) -> str:
    """Folder of a corpus's table in the store."""
    return f"{FOLDER}/{corpus}.lance"


def tag_path(corpus: str, tag: str) -> str:
    """The file of a tag in the store."""
    return f"{table_folder(corpus)}/_refs/tags/{tag}.json"


def read_tag_files(objects: ObjectStore, corpus: str) -> dict[str, TagFile | ObjectDamaged]:
    """Every tag of the corpus's table, or what is wrong with its file; empty when there is no table."""
    paths = [info.path for info in objects.list(f"{table_folder(corpus)}/_refs/tags")]
    names = {match[1]: path for path in paths if (match := _TAG_NAME.fullmatch(path))}

    def read(path: str) -> TagFile | ObjectLost:
        try:
            return read_record(objects, path, _TAG_FILE)
        except ObjectLost as error:
            return error

    found = zip(names, _readers.map(read, names.values()), strict=True)
    # One that was dropped meanwhile is none.
    return {name: file for name, file in found if isinstance(file, TagFile | ObjectDamaged)}


def read_tags(objects: ObjectStore, corpus: str) -> dict[str, int]:
    """Lance version of every tag of the corpus's table that can be read; empty when there is no table."""
    files = read_tag_files(objects, corpus)
    return {name: found.version for name, found in files.items() if isinstance(found, TagFile)}


def manifests(objects: ObjectStore, corpus: str) -> dict[int, ObjectInfo]:
    """The manifest of every version of the corpus's table, whole or not."""
    infos = objects.list(f"{table_folder(corpus)}/_versions")
    named = [(match[1], info) for info in infos if (match := _MANIFEST_NAME.fullmatch(info.path))]
    return {_version(name): info for name, info in named}


def written(objects: ObjectStore, corpus: str) -> dict[int, datetime]:
    """When each version of the corpus's table was written, on the clock of the store.

    The manifests themselves hold times of the machines that wrote them.
    """
    return {version: info.modified for version, info in manifests(objects, corpus).items()}


def tagged(objects: ObjectStore, corpus: str) -> dict[str, datetime]:
    """When each tag of the corpus's table was written last, on the clock of the store."""
    infos = objects.list(f"{table_folder(corpus)}/_refs/tags")
    return {match[1]: info.modified for info in infos if (match := _TAG_NAME.fullmatch(info.path))}


def is_whole(manifest: bytes) -> bool:
    """Whether a manifest was not cut off."""
    return manifest.endswith(_MANIFEST_END)


def _version(name: str) -> int:
    """The version of a manifest by its name: Lance counts down from 2⁶⁴ - 1, so that the newest is listed first."""
    number = int(name)
    return 2**64 - 1 - number if len(name) == 20 else number
