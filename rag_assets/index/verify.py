"""Verify versions of a table: exactly the demanded chunks, each with its text and vector; complete indexes.

What is demanded is derived from the snapshot and the content stores once more (``RowSource.contents``), not
from what the build believes to have written. Both sides are read in one pass and summed up in parts by
chunk id: memory does not grow with the table. Only parts whose sums differ are compared row by row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from rag_assets.errors import VerificationFailed
from rag_assets.index.build import _quoted
from rag_assets.index.rows import content_of, vectors_of
from rag_assets.index.table import translated

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import LanceTable
    from numpy.typing import NDArray

AGAIN = "; another run may have written to the index at the same time: run again"
"""What helps where a table is not what it should be."""
BATCH = 1024  # rows looked at together
BUFFER_BYTES = 8_000_000  # what Lance reads ahead, at most
PART_DIGITS = 3  # of a chunk id in hex: 4,096 parts
COMPARED_ROWS = 500_000  # of parts that differ, in memory together
ID = ("id_high", "id_low")
COMPACT = pl.Schema(
    {**dict.fromkeys((*ID, "content"), pl.UInt64()), "document_id": pl.String()},
)


def verify_all(
    table: LanceTable, demanded: Iterable[pl.DataFrame], without: Collection[str] = frozenset()
) -> int:
    """The table holds exactly the demanded chunks, each once, with its text and vector. Reads every row.

    Args:
        table: pinned to a version.
        demanded: what the documents demand (``RowSource.contents``); read once more where something differs.
        without: ids of documents whose rows are left out of account.

    Returns:
        How many chunks are demanded.

    Raises:
        VerificationFailed: saying how many are missing, surplus, double, have other content or a broken vector.
        IndexUnavailable: the table cannot be read.
    """
    wanted, found, broken = _Sums(), _Sums(), 0
    for batch in demanded:
        wanted.add(batch)
    for rows, vectors in _rows(table, without):
        found.add(rows)
        broken += _broken(vectors)
    total, parts = int(wanted.rows.sum()), wanted.differing(found)
    if parts.size or broken:
        until = np.cumsum(np.maximum(wanted.rows, found.rows)[parts])
        compared = parts[: max(1, int((until <= COMPARED_ROWS).sum()))]
        here = (rows for rows, _ in _rows(table, without))
        more = len(compared) < len(parts)
        _compare(_of_parts(demanded, compared), _of_parts(here, compared), broken, total, more=more)
    return total


def verify_changed(table: LanceTable, demanded: Iterable[pl.DataFrame], removed: pl.Series, rows: int) -> int:
    """The changed documents have exactly the demanded chunks, the removed none, and the total fits.

    Args:
        table: pinned to the candidate.
        demanded: what the new and changed documents demand (``RowSource.contents``).
        removed: document ids that must have no rows.
        rows: rows that the whole table must have.

    Returns:
        How many chunks the changed documents have.

    Raises:
        VerificationFailed: as ``verify_all``.
    """
    total = table.count_rows()
    if total != rows:
        raise VerificationFailed(f"the candidate has {total} rows; its snapshot demands {rows}{AGAIN}")
    checked = 0
    for batch in _by_document(demanded):
        held = _rows_of(table, batch["document_id"].unique())
        _compare(_compact(batch), _compact(content_of(held)), _broken(vectors_of(held)), batch.height)
        checked += batch.height
    for part in removed.to_frame("document_id").iter_slices(1000):
        surplus = _rows_of(table, part["document_id"]).num_rows
        if surplus:
            raise VerificationFailed(f"the candidate still has {surplus} rows of removed documents{AGAIN}")
    return checked


def verify_fragments(table: LanceTable, fragments: Collection[int], demanded: Iterable[pl.DataFrame]) -> None:
    """Every row of some fragments is one of those that are demanded.

    Args:
        table: pinned to a version.
        fragments: ids of fragments.
        demanded: what the documents of these fragments demand (``documents_in``).

    Raises:
        VerificationFailed: saying how many are not demanded, or not with this content, or have a broken vector.
        IndexUnavailable: the table cannot be read.
    """
    wanted = pl.concat([COMPACT.to_frame(), *map(_compact, demanded)]).drop("document_id")
    wrong, broken, example = 0, 0, ""
    for rows, vectors in _rows(table, (), fragments):
        found = _compact(rows).join(wanted, on=wanted.columns, how="anti", nulls_equal=True)
        wrong, broken = wrong + found.height, broken + _broken(vectors)
        example = example or (found["document_id"][0] if found.height else "")
    if wrong or broken:
        raise VerificationFailed(
            f"the candidate carries {wrong} rows that its snapshot does not demand, or not with this content, "
            f"and {broken} broken vectors{_named(example)}{AGAIN}"
        )


def documents_in(table: LanceTable, fragments: Collection[int]) -> pl.Series:
    """Ids of the documents that have rows in some fragments. Raises IndexUnavailable."""
    found = [pl.Series("document_id", [], dtype=pl.String)]
    with translated("read the documents of the index"):
        dataset = table.to_lance()
        some = [fragment for fragment in dataset.get_fragments() if fragment.fragment_id in fragments]
        for batch in dataset.scanner(columns=["document_id"], fragments=some).to_batches() if some else ():
            found.append(pl.Series("document_id", batch.column("document_id")).unique())
    return pl.concat(found).unique()


def verify_indexes(table: LanceTable) -> None:
    """Every index covers every row. Raises VerificationFailed naming the one that does not."""
    with translated("read the index statistics"):
        for index in table.list_indices():
            stats = table.index_stats(index.name)
            if stats is None or stats.num_unindexed_rows:
                unindexed = "unknown" if stats is None else stats.num_unindexed_rows
                raise VerificationFailed(f"index {index.name} leaves {unindexed} rows out{AGAIN}")


class _Sums:
    """Number of rows and sum of their hashes for each part, which do not depend on the rows' order."""

    def __init__(self) -> None:
        self.rows: NDArray[np.int64] = np.zeros(16**PART_DIGITS, dtype=np.int64)
        self.hashes: NDArray[np.uint64] = np.zeros(16**PART_DIGITS, dtype=np.uint64)

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows of ``content_of``."""
        parts = _part_of(rows)
        np.add.at(self.rows, parts, 1)
        np.add.at(self.hashes, parts, rows["content"].to_numpy())

    def differing(self, other: _Sums) -> NDArray[np.intp]:
        """The parts in which two sums differ."""
        return np.flatnonzero((self.rows != other.rows) | (self.hashes != other.hashes))


def _rows(
    table: LanceTable, without: Collection[str], fragments: Collection[int] | None = None
) -> Iterator[tuple[pl.DataFrame, NDArray[np.float32]]]:
    """Every row's content (``content_of``) and vector, in batches; of some fragments, or of all."""
    with translated("read the index"):
        dataset = table.to_lance()
        every = dataset.get_fragments()
        some = every if fragments is None else [one for one in every if one.fragment_id in fragments]
        if not some:
            return
        scanner = dataset.scanner(
            fragments=some,
            batch_size=BATCH,
            batch_readahead=1,
            fragment_readahead=1,
            io_buffer_size=BUFFER_BYTES,
        )
        for batch in scanner.to_batches():
            rows = content_of(batch)
            if without:
                rows = rows.filter(~pl.col("document_id").is_in(list(without)))
            yield rows, vectors_of(batch)


def _rows_of(table: LanceTable, documents: pl.Series) -> pa.Table:
    with translated("read the candidate"):
        return table.to_lance().to_table(filter=f"document_id IN ({_quoted(documents)})")


def _by_document(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows, cut so that all of a document are together. Documents follow one another."""
    rest: pl.DataFrame | None = None
    for batch in batches:
        rows = batch if rest is None else pl.concat([rest, batch])
        last = pl.col("document_id") == rows["document_id"][-1]
        whole, rest = rows.filter(~last), rows.filter(last)
        if whole.height:
            yield whole
    if rest is not None:
        yield rest


def _broken(vectors: NDArray[np.float32]) -> int:
    """Vectors that are null or hold a non-finite number."""
    return int((~np.isfinite(vectors).all(axis=1)).sum())


def _compact(rows: pl.DataFrame) -> pl.DataFrame:
    """Ids as two numbers: half as large, and joined faster than text."""
    halves = {name: pl.col("chunk_id").str.slice(16 * half, 16) for half, name in enumerate(ID)}
    numbers = {
        name: text.str.to_integer(base=16, dtype=pl.UInt64, strict=False) for name, text in halves.items()
    }
    return rows.select(**numbers, content="content", document_id="document_id")


def _part_of(rows: pl.DataFrame) -> NDArray[np.int64]:
    """The part of each row; what is no chunk id belongs to the first."""
    start = rows["chunk_id"].str.slice(0, PART_DIGITS)
    return start.str.to_integer(base=16, dtype=pl.Int64, strict=False).fill_null(0).to_numpy()


def _of_parts(batches: Iterable[pl.DataFrame], parts: NDArray[np.intp]) -> pl.DataFrame:
    """The rows of some parts, compact."""
    found = (_compact(batch.filter(pl.Series(np.isin(_part_of(batch), parts)))) for batch in batches)
    return pl.concat([COMPACT.to_frame(), *found])


def _compare(
    wanted: pl.DataFrame, found: pl.DataFrame, broken: int, total: int, *, more: bool = False
) -> None:
    double = found.height - found.select(ID).n_unique()
    missing = wanted.join(found, on=ID, how="anti", nulls_equal=True)
    surplus = found.join(wanted, on=ID, how="anti", nulls_equal=True)
    same = wanted.join(found, on=[*ID, "content"], how="semi", nulls_equal=True)
    stale = max(
        0, wanted.height - missing.height - same.height - broken
    )  # a broken vector is counted as such
    if missing.height or surplus.height or double or stale or broken:
        other = wanted.join(same, on=ID, how="anti", nulls_equal=True)
        example = next((rows["document_id"][0] for rows in (missing, surplus, other) if rows.height), "")
        raise VerificationFailed(
            f"the candidate is not what its snapshot demands: {'at least ' if more else ''}{missing.height} chunks "
            f"missing, {surplus.height} surplus, {double} double, {stale} with other content, {broken} with a broken "
            f"vector (of {total} demanded){_named(example)}{AGAIN}"
        )


def _named(document: str) -> str:
    return f", e.g. of {document!r}" if document else ""
