"""Whether the files of a version are there and whole, by their names and sizes: what damage shows at a glance."""

from __future__ import annotations

from collections import Counter

from rag_assets.index.lance_files import table_folder
from rag_assets.index.table import translated
from rag_assets.store.objects import ObjectStore


def damaged_files(objects: ObjectStore, corpus: str, version: int) -> list[str]:
    """Files of a version that are gone or not of their size. Reads the manifest and lists the table's folders."""
    import lance

    with translated(f"look at the files of version {version} of the index of {corpus!r}"):
        table = lance.dataset(
            objects.uri(table_folder(corpus)),
            version=version,
            storage_options=objects.storage_options or None,
        )
        fragments = table.get_fragments()
        data = {file.path: file.file_size_bytes for fragment in fragments for file in fragment.data_files()}
        deletions = [path for fragment in fragments if (path := fragment.deletion_file())]
        segments = {
            segment.uuid: segment.size_bytes
            for index in table.describe_indices()
            for segment in index.segments
        }
    root = table_folder(corpus)
    sizes = {info.path.removeprefix(f"{root}/"): info.size for info in objects.list(root)}
    indexed: Counter[str] = Counter()
    for path, size in sizes.items():
        if path.startswith("_indices/"):
            indexed[path.split("/")[1]] += size
    return [
        *(f"data/{path}" for path, size in data.items() if not _fits(sizes.get(f"data/{path}"), size)),
        *(path for path in deletions if not _fits(sizes.get(path), None)),
        *(f"_indices/{name}" for name, size in segments.items() if not _fits(indexed[name], size)),
    ]


def _fits(found: int | None, size: int | None) -> bool:
    # Where the manifest tells no size, a file must be there and not be empty.
    return bool(found) if size is None else found == size
