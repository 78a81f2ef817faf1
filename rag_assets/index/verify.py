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
from rag_assets.index.table import translated

if TYPE_CHECKING:
    from lancedb.table import LanceTable

BATCH = 8192  # rows whose vectors are looked at together


def verify_all(table: LanceTable, demanded: Iterable[pl.DataFrame]) -> int:
    """The table holds exactly the demanded chunk ids, each once. Returns how many.

    Reads every id and every vector; ids are the only thing that is held for the whole corpus
    (32 bytes per chunk).

    Raises:
        VerificationFailed: saying how many are missing, surplus, double, or have a broken vector.
    """
    wanted = pl.concat(
        [pl.DataFrame(schema={"chunk_id": pl.String}), *[batch.select("chunk_id") for batch in demanded]]
    )
    found: list[pl.DataFrame] = []
    broken = 0
    with translated("read the candidate"):
        for batch in table.to_lance().to_batches(
            columns=["chunk_id", "vector"], batch_size=BATCH, batch_readahead=2
        ):
            found.append(pl.DataFrame({"chunk_id": pl.Series(batch.column("chunk_id"))}))
            broken += _broken_vectors(batch.column("vector"))
    _compare(wanted, pl.concat([wanted.clear(), *found]), broken)
    return wanted.height


def verify_changed(table: LanceTable, demanded: Iterable[pl.DataFrame], removed: pl.Series, rows: int) -> int:
    """The changed documents have exactly the demanded chunks, the removed none, and the total fits.

    Args:
        table: pinned to the candidate.
        demanded: (document_id, chunk_id) of the new and changed documents.
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
        found = _rows_of(table, ids)
        _compare(batch.select("chunk_id"), found.select("chunk_id"), _broken_vectors_of(found))
        checked += batch.height
    for part in removed.to_frame("document_id").iter_slices(1000):
        surplus = _rows_of(table, part["document_id"]).height
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


def _rows_of(table: LanceTable, documents: pl.Series) -> pl.DataFrame:
    with translated("read the candidate"):
        rows = table.to_lance().to_table(
            columns=["document_id", "chunk_id", "vector"], filter=f"document_id IN ({_quoted(documents)})"
        )
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _broken_vectors_of(rows: pl.DataFrame) -> int:
    return 0 if rows.is_empty() else _broken_vectors(rows["vector"].to_arrow())


def _broken_vectors(column: object) -> int:
    """Vectors that are null or hold a non-finite number."""
    nulls = int(column.null_count)  # type: ignore[attr-defined]
    values = column.flatten().to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    matrix = values.reshape(len(column) - nulls, -1)  # type: ignore[arg-type]
    return nulls + int((~np.isfinite(matrix).all(axis=1)).sum())


def _compare(wanted: pl.DataFrame, found: pl.DataFrame, broken: int) -> None:
    double = found.height - found.n_unique()
    missing = wanted.join(found, on="chunk_id", how="anti").height
    surplus = found.join(wanted, on="chunk_id", how="anti").height
    if missing or surplus or double or broken:
        raise VerificationFailed(
            f"the candidate is not what its snapshot demands: {missing} chunks missing, {surplus} surplus, "
            f"{double} double, {broken} with a broken vector (of {wanted.height} demanded)"
        )
