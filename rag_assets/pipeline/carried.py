"""Rows that an update takes over from the published version: compared with the stores, or known to be right.

Up to ``FULL_VERIFY_ROWS`` every row of an update is compared. In a larger table, these are: the rows of the
documents that changed, and those of every data file that is new (Lance rewrites small ones) or is not the
very file whose rows were verified before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.errors import StageIncomplete, VerificationFailed
from rag_assets.index import build
from rag_assets.index.data_files import data_files, unknown_fragments
from rag_assets.index.table import IndexUnavailable, open_table
from rag_assets.index.verify import documents_in, verify_all, verify_changed, verify_fragments
from rag_assets.publication.record import Publication
from rag_assets.store.snapshots import Snapshot

if TYPE_CHECKING:
    from lancedb.table import LanceTable

    from rag_assets.pipeline.pipeline import Pipeline

FILES = "files"
"""Key in ``Candidate.about`` of the data files whose rows were verified: file name → mark of the store."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with a published version.

    Attributes:
        what: such as "has lost data/1.lance of its index".
        misled: whether readers may have seen other content than the stores hold.
    """

    what: str
    misled: bool


def verify_update(
    pipeline: Pipeline,
    table: LanceTable,
    snapshot: Snapshot,
    head: Publication,
    gone: pl.DataFrame,
    come: pl.DataFrame,
    full_verify_rows: int,
) -> int:
    """Compare an update with the stores.

    Args:
        pipeline: the corpus's stages.
        table: pinned to the update.
        snapshot: what it is to hold.
        head: what it was built on.
        gone: documents of ``head`` that are gone or changed.
        come: documents that are new or changed.
        full_verify_rows: rows up to which every row is compared.

    Returns:
        How many chunks the table has.

    Raises:
        VerificationFailed: it is not what the snapshot demands.
        IndexUnavailable: it cannot be read.
    """
    name, rows = pipeline.corpus.name, pipeline.rows
    every = pipeline.context.snapshots.readable(snapshot)
    files = data_files(pipeline.objects, name, table)
    unknown = unknown_fragments(files, head.about.get(FILES, {}))
    if table.count_rows() <= full_verify_rows or unknown == files.keys():
        return verify_all(table, rows.contents(every, table.schema))
    removed = gone.join(come, on="document_id", how="anti")["document_id"]
    # Of what is gone, the stores may not hold the chunks any more: the published version tells how many they were.
    before = build.count_rows_of(pipeline.objects, name, head.version, gone["document_id"])
    demanded = rows.contents(come, table.schema)
    chunks = head.chunks - before + sum(batch.height for batch in demanded)
    verify_changed(table, demanded, removed, chunks)
    concerned = every.filter(pl.col("document_id").is_in(documents_in(table, unknown).implode()))
    verify_fragments(table, unknown, rows.contents(concerned, table.schema))
    return chunks


def carried_damage(
    pipeline: Pipeline, snapshot: Snapshot, head: Publication, gone: pl.DataFrame, come: pl.DataFrame
) -> Damage | None:
    """What is wrong with the published rows of the documents that did not change; None where nothing is.

    Arguments as of ``verify_update``. Raises StageIncomplete where the stores do not hold what to compare with.
    """
    same = pipeline.context.snapshots.readable(snapshot).join(come, on="document_id", how="anti")
    try:
        table = open_table(pipeline.objects, pipeline.corpus.name, at=head.version)
        if table is None:
            return Damage("has lost its table", misled=False)
        demanded = pipeline.rows.contents(same.sort("document_id"), table.schema)
        verify_all(table, demanded, without=set(gone["document_id"]))
    except StageIncomplete:
        raise
    except VerificationFailed as error:
        return Damage(f"is damaged: {error}", misled=True)
    except IndexUnavailable as error:
        return Damage(f"cannot be read: {error}", misled=False)
    return None
