"""Tags of a corpus's table whose files were damaged: written anew where their version is known, else dropped."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from rag_assets.index.lance_files import manifests, read_tag_files, tag_path
from rag_assets.index.table import drop_tag, tags_at, translated
from rag_assets.store.files import ObjectDamaged, warn
from rag_assets.store.objects import ObjectStore


def mend_tags(objects: ObjectStore, corpus: str, known: Mapping[str, int]) -> None:
    """Write damaged tags anew whose version is known, and drop the others.

    Args:
        objects: the store.
        corpus: whose table it is.
        known: Lance version by tag.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    damaged = {
        name: file
        for name, file in read_tag_files(objects, corpus).items()
        if isinstance(file, ObjectDamaged)
    }
    found = manifests(objects, corpus) if damaged else {}
    for name, error in damaged.items():
        version = known.get(name)
        if version is None or version not in found:
            warn(f"{error}. The tag is dropped")
            objects.delete([tag_path(corpus, name)])
        else:
            warn(f"{error}. The tag is set to version {version} again")
            objects.put(tag_path(corpus, name), _tag_like(objects, corpus, version))


def _tag_like(objects: ObjectStore, corpus: str, version: int) -> bytes:
    """The file of a tag of a version, as Lance writes it."""
    name = f"mend-{uuid.uuid4().hex}"
    with translated(f"write a tag of version {version} of the index of {corpus!r} anew"):
        tags_at(objects, corpus, version).create(name, version)
    try:
        return objects.get(tag_path(corpus, name))
    finally:
        drop_tag(objects, corpus, name)
