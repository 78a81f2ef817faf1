"""Which documents a publication holds: as its snapshot tells, or, where that was lost or replaced, its table.

publication → snapshot or table → document ids → the change record between two publications.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from rag_assets.index.base import Base
from rag_assets.index.table import IndexUnavailable, open_table, translated
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import OK, SnapshotStore

BATCH = 65_536  # document ids in memory at once


def documents_of(
    objects: ObjectStore, corpus: str, base: Base, among: Collection[str] | None = None
) -> pl.Series:
    """Ids of the readable documents of a publication.

    Args:
        objects: the store.
        corpus: name of the corpus.
        base: a publication that is retained.
        among: look for these alone; None looks for all.

    Raises:
        IndexUnavailable: neither the snapshot nor the table can be read.
    """
    snapshots = SnapshotStore(objects, corpus)
    snapshot = snapshots.find(base.snapshot, base.spec.snapshot)
    columns = ("document_id", "status")
    if snapshot is not None:
        try:
            rows = (
                snapshots.rows(snapshot, columns)
                if among is None
                else snapshots.rows_of(snapshot, among, columns)
            )
            return rows.filter(pl.col("status") == OK)["document_id"]
        except ObjectLost as error:
            warn(str(error))
    found = _in_table(objects, corpus, base)
    return found if among is None else found.filter(found.is_in(list(among)))


def changes_between(objects: ObjectStore, corpus: str, old: Base, new: Base) -> pl.DataFrame:
    """document_id and change (added, changed, removed): what differs for readers between two publications."""
    snapshots = SnapshotStore(objects, corpus)
    if old.spec.same_rows_as(new.spec):
        before, after = (snapshots.find(one.snapshot, one.spec.snapshot) for one in (old, new))
        if before is not None and after is not None:
            try:
                return snapshots.changes(before, after)
            except ObjectLost as error:
                warn(str(error))
    return everything_changed(objects, corpus, old, documents_of(objects, corpus, new))


def everything_changed(objects: ObjectStore, corpus: str, old: Base, new: pl.Series) -> pl.DataFrame:
    """The change record where no document is known to read as before.

    Args:
        objects: the store.
        corpus: name of the corpus.
        old: what readers had. Where it cannot be read any more, every document counts as changed.
        new: ids of the documents that readers get.
    """
    try:
        ids = documents_of(objects, corpus, old)
    except (IndexUnavailable, ObjectLost) as error:
        warn(str(error))
        ids = new
    before, after = (part.alias("document_id").to_frame() for part in (ids, new))
    return pl.concat(
        [
            after.join(before, on="document_id", how="anti").with_columns(change=pl.lit("added")),
            after.join(before, on="document_id", how="semi").with_columns(change=pl.lit("changed")),
            before.join(after, on="document_id", how="anti").with_columns(change=pl.lit("removed")),
        ]
    )


def _in_table(objects: ObjectStore, corpus: str, base: Base) -> pl.Series:
    """Ids in the version of a publication. A document without chunks is in none: it could not be found."""
    table = open_table(objects, corpus, at=base.version)
    assert table is not None, "a publication implies a table"
    found = pl.Series("document_id", [], dtype=pl.String)
    with translated(f"read the documents of publication {base.number}"):
        for batch in table.to_lance().to_batches(columns=["document_id"], batch_size=BATCH):
            part = pl.Series("document_id", batch.column("document_id"))
            found = pl.concat([found, part.unique()]).unique()
    return found.sort()
