"""Verify a candidate on a fresh handle: exactly the demanded chunks, sound vectors, complete indexes.

The demanded ids are derived from the snapshot and the content stores once more, not from
what the build believes to have written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from rag_assets.errors import VerificationFailed
from rag_assets.index.build import _quoted
from rag_assets.index.rows import content_of
from rag_assets.index.table import translated

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import LanceTable

BATCH = 1024  # rows looked at together
BUFFER_BYTES = 8_000_000  # what Lance reads ahead, at most
ID = ("id_high", "id_low")


def verify_all(table: LanceTable, demanded: Iterable[pl.DataFrame]) -> int:
    """The table holds exactly the demanded chunks, each once and with its content. Returns how many.

    Reads every row; ids and content hashes are the only thing that is held for the whole corpus
    (24 bytes per chunk).

    Raises:
        VerificationFailed: saying how many are missing, surplus, double, have other content or a broken vector.
    """
    empty = pl.DataFrame(schema=dict.fromkeys((*ID, "content"), pl.UInt64))
    wanted = pl.concat([empty, *map(_compact, demanded)])
    found: list[pl.DataFrame] = [empty]
    broken = 0
    with translated("read the candidate"):
        columns = [name for name in table.schema.names if name != "text"]
        for batch in table.to_lance().to_batches(
            columns=columns,
            batch_size=BATCH,
            batch_readahead=1,
            fragment_readahead=1,
            io_buffer_size=BUFFER_BYTES,
        ):
            found.append(_compact(content_of(batch)))
            broken += _broken_vectors(batch.column("vector"))
    _compare(wanted, pl.concat(found), broken)
    return wanted.height


def verify_changed(table: LanceTable, demanded: Iterable[pl.DataFrame], removed: pl.Series, rows: int) -> int:
    """The changed documents have exactly the demanded chunks, the removed none, and the total fits.

    Args:
        table: pinned to the candidate.
        demanded: what the new and changed documents demand (``RowSource.contents``).
        removed: document ids that must have no rows.
        rows: rows that the whole table must have.

    Raises:
        VerificationFailed: as ``verify_all``.
    """
    total = table.count_rows()
    if total != rows:
        raise VerificationFailed(f"the candidate has {total} rows; its snapshot demands {rows}")
    checked = 0
    for batch in demanded:
        ids = batch["document_id"].unique()
        held = _rows_of(table, ids)
        broken = _broken_vectors(held.column("vector").combine_chunks())
        _compare(_compact(batch), _compact(content_of(held)), broken)
        checked += batch.height
    for part in removed.to_frame("document_id").iter_slices(1000):
        surplus = _rows_of(table, part["document_id"]).num_rows
        if surplus:
            raise VerificationFailed(f"the candidate still has {surplus} rows of removed documents")
    return checked


def verify_indexes(table: LanceTable) -> None:
    """Every index covers every row. Raises VerificationFailed naming the one that does not."""
    with translated("read the index statistics"):
        for index in table.list_indices():
            stats = table.index_stats(index.name)
            if stats is None or stats.num_unindexed_rows:
                unindexed = "unknown" if stats is None else stats.num_unindexed_rows
                raise VerificationFailed(f"index {index.name} leaves {unindexed} rows out")


def _rows_of(table: LanceTable, documents: pl.Series) -> pa.Table:
    with translated("read the candidate"):
        return table.to_lance().to_table(filter=f"document_id IN ({_quoted(documents)})")


def _broken_vectors(column: object) -> int:
    """Vectors that are null or hold a non-finite number."""
    nulls = int(column.null_count)  # type: ignore[attr-defined]
    values = column.flatten().to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    matrix = values.reshape(len(column) - nulls, -1)  # type: ignore[arg-type]
    return nulls + int((~np.isfinite(matrix).all(axis=1)).sum())


def _compact(rows: pl.DataFrame) -> pl.DataFrame:
    """Ids as two numbers: as text they would keep the buffers alive from which they were read."""
    halves = {name: pl.col("chunk_id").str.slice(16 * half, 16) for half, name in enumerate(ID)}
    numbers = {
        name: text.str.to_integer(base=16, dtype=pl.UInt64, strict=False) for name, text in halves.items()
    }
    return rows.select(**numbers, content="content")


def _compare(wanted: pl.DataFrame, found: pl.DataFrame, broken: int) -> None:
    double = found.height - found.select(ID).n_unique()
    missing = wanted.join(found, on=ID, how="anti").height
    surplus = found.join(wanted, on=ID, how="anti").height
    same = wanted.join(found, on=[*ID, "content"], how="semi").height
    stale = wanted.height - missing - same
    if missing or surplus or double or stale or broken:
        raise VerificationFailed(
            f"the candidate is not what its snapshot demands: {missing} chunks missing, {surplus} surplus, "
            f"{double} double, {stale} with other content, {broken} with a broken vector (of {wanted.height} demanded)"
        )
