"""Whether a publication holds what was erased since it was built: then readers must not be given it again."""

from __future__ import annotations

import polars as pl

from rag_assets.errors import NotPublished
from rag_assets.index.documents import documents_of
from rag_assets.publication.record import Publication
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.objects import ObjectStore


def require_nothing_erased(objects: ObjectStore, corpus: str, target: Publication) -> None:
    """Raise NotPublished if a publication holds documents that have been erased since it was built."""
    erased = [
        name
        for name, mark in ErasureLog(objects, corpus).marks().items()
        # Where a new document took the place, older publications hold the old one.
        if not mark.lifted or target.snapshot <= mark.snapshot
    ]
    found = documents_of(objects, corpus, target.base, among=erased) if erased else pl.Series(dtype=pl.String)
    if found.len():
        raise NotPublished(
            f"{corpus}: publication {target.number} holds {found.len()} documents that have been erased since, "
            f"{found[0]!r} among them; go to a publication without them (rag-assets rollback --to), or mend the "
            "sources and run"
        )
