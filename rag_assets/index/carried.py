"""Rows that an update takes over from the published version: compared with the stores, or known to be right.

Up to ``FULL_VERIFY_ROWS`` every row of an update is compared. In a larger table, these are: the rows of the
documents that changed, and those of every data file that is new (Lance rewrites small ones) or is not the
very file whose rows were verified before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from rag_assets.errors import StageIncomplete, VerificationFailed
from rag_assets.index import build
from rag_assets.index.base import Base, Damage
from rag_assets.index.data_files import data_files, unknown_fragments
from rag_assets.index.rows import RowSource
from rag_assets.index.table import IndexUnavailable, open_table
from rag_assets.index.verify import documents_in, verify_all, verify_changed, verify_fragments
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from lancedb.table import LanceTable

FILES = "files"
"""Key in ``Candidate.about`` of the data files whose rows were verified: file name → mark of the store."""


def verify_update(
    objects: ObjectStore,
    corpus: str,
    rows: RowSource,
    table: LanceTable,
    base: Base,
    every: pl.DataFrame,
    gone: pl.DataFrame,
    come: pl.DataFrame,
    full_verify_rows: int,
) -> int:
    """Compare an update with the stores.

    Args:
        objects: the store.
        corpus: name of the corpus.
        rows: what the stores demand.
        table: pinned to the update.
        base: what it was built on.
        every: documents that it is to hold.
        gone: documents of ``base`` that are gone or changed.
        come: documents that are new or changed.
        full_verify_rows: rows up to which every row is compared.

    Returns:
        How many chunks the table has.

    Raises:
        VerificationFailed: it is not what the snapshot demands.
        IndexUnavailable: it cannot be read.
    """
    files = data_files(objects, corpus, table)
    unknown = unknown_fragments(files, base.about.get(FILES, {}))
    if table.count_rows() <= full_verify_rows or unknown == files.keys():
        return verify_all(table, rows.contents(every, table.schema))
    removed = gone.join(come, on="document_id", how="anti")["document_id"]
    # Of what is gone, the stores may not hold the chunks any more: the published version tells how many they were.
    before = build.count_rows_of(objects, corpus, base.version, gone["document_id"])
    demanded = rows.contents(come, table.schema)
    chunks = base.chunks - before + sum(batch.height for batch in demanded)
    verify_changed(table, demanded, removed, chunks)
    concerned = every.filter(pl.col("document_id").is_in(documents_in(table, unknown).implode()))
    verify_fragments(table, unknown, rows.contents(concerned, table.schema))
    return chunks


def carried_damage(
    objects: ObjectStore,
    corpus: str,
    rows: RowSource,
    base: Base,
    every: pl.DataFrame,
    gone: pl.DataFrame,
    come: pl.DataFrame,
) -> Damage | None:
    """What is wrong with the published rows of the documents that did not change; None where nothing is.

    Arguments as of ``verify_update``. Raises StageIncomplete where the stores do not hold what to compare with.
    """
    same = every.join(come, on="document_id", how="anti")
    try:
        table = open_table(objects, corpus, at=base.version)
        if table is None:
            return Damage("has lost its table", misled=False)
        demanded = rows.contents(same.sort("document_id"), table.schema)
        verify_all(table, demanded, without=set(gone["document_id"]))
    except StageIncomplete:
        raise
    except VerificationFailed as error:
        return Damage(f"is damaged: {error}", misled=True)
    except IndexUnavailable as error:
        return Damage(f"cannot be read: {error}", misled=False)
    return None
