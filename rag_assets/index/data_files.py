"""Which data files of a version are the very ones that were verified: by what the store says of them.

A small change to a large table takes over most data files as they are, and reading them all for every
change would cost more than the change. Lance never writes to a file again, so one that the store tells
to be of the same size and entity tag as when its rows were verified is taken over; all others are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rag_assets.index.lance_files import table_folder
from rag_assets.index.table import translated
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from lancedb.table import LanceTable

LOST = "lost"


def data_files(objects: ObjectStore, corpus: str, table: LanceTable) -> dict[int, dict[str, str]]:
    """The data files of each fragment of a version, and by what each is known: size and entity tag.

    Args:
        objects: the store.
        corpus: whose table it is.
        table: pinned to the version.

    Returns:
        fragment id → file name → mark; ``LOST`` for a file that is not there.
    """
    folder = f"{table_folder(corpus)}/data"
    marks = {
        info.path.removeprefix(f"{folder}/"): f"{info.size}-{info.etag}" for info in objects.list(folder)
    }
    with translated(f"list the data files of the index of {corpus!r}"):
        return {
            fragment.fragment_id: {file.path: marks.get(file.path, LOST) for file in fragment.data_files()}
            for fragment in table.to_lance().get_fragments()
        }


def unknown_fragments(files: Mapping[int, Mapping[str, str]], known: Mapping[str, str]) -> set[int]:
    """Fragments that have a file which is not known by its mark: its rows have to be read.

    Args:
        files: ``data_files`` of the version.
        known: file name → mark, of files whose rows were verified.
    """
    return {
        fragment
        for fragment, marks in files.items()
        if any(mark == LOST or known.get(name) != mark for name, mark in marks.items())
    }
