"""Build a candidate on top of the published version: delete what changed, add what is new, index.

Every call starts from the base version again, so what a failed, rejected or killed run left
in the table cannot get into the next one. Readers are pinned to tags and see none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets import corpus
from rag_assets.index.rows import RowSource
from rag_assets.index.table import connect, open_table, translated
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import LanceTable

Load = Callable[[pl.DataFrame, "pa.Schema"], None]
"""Adds the rows of documents to the table of a schema, in one commit."""
SLICE = 10_000  # ids per delete predicate
MAX_SEGMENTS = 8  # vector index segments before they are merged


def rebuild(
    objects: ObjectStore,
    name: str,
    rows: RowSource,
    documents: pl.DataFrame,
    schema: pa.Schema,
    load: Load | None = None,
) -> LanceTable:
    """A new table in the old one's place; earlier versions and their tags stay readable.

    Args:
        objects: the store.
        name: of the table.
        rows: where its rows come from.
        documents: whose rows it gets (columns of ``snapshots.READABLE``).
        schema: of the table.
        load: adds the rows; None adds them here.
    """
    with translated(f"create the index of {name!r}"):
        connect(objects).create_table(name, schema=schema, mode="overwrite")
        table = open_table(objects, name)
        assert table is not None, "it was just created"
        if load is None:
            _add(table, rows, documents, schema)
        else:
            load(documents, schema)
            table.checkout_latest()  # type: ignore[no-untyped-call]
        return table


def update(
    objects: ObjectStore,
    name: str,
    rows: RowSource,
    base: int,
    removed: pl.DataFrame,
    upserted: pl.DataFrame,
) -> LanceTable:
    """The table at version ``base`` with some documents' rows replaced.

    Args:
        base: Lance version to start from.
        removed: documents whose rows go (those that changed, too).
        upserted: documents whose rows come (snapshot rows).
    """
    table = open_table(objects, name)
    assert table is not None, "a base version implies a table"
    with translated(f"update the index of {name!r}"):
        if table.version != base:
            table.checkout(base)
            table.restore()
        for ids in removed.select("document_id").iter_slices(SLICE // 10):
            for chunk_ids in _chunk_ids_of(table, ids["document_id"]).iter_slices(SLICE):
                # Predicates stay readable in transaction files: only opaque ids may stand there.
                table.delete(f"chunk_id IN ({_quoted(chunk_ids['chunk_id'])})")
        _add(table, rows, upserted, table.schema)
        return table


def build_indexes(
    table: LanceTable, index: corpus.Index, *, text_changed: bool, trained_rows: int
) -> dict[str, Any]:
    """Bring every index up to the table's rows.

    Args:
        table: at its latest version.
        index: the corpus file's settings.
        text_changed: the full-text settings differ from those of the existing index.
        trained_rows: rows when the vector index was last trained, 0 if there is none.

    Returns:
        facts for the candidate: rows, index types and ``trained_rows``.
    """
    from lancedb.index import FTS, BTree, IvfSq, LabelList

    with translated("index the candidate"):
        _optimize(table)
        present = {name for found in table.list_indices() for name in found.columns}
        for column in ("chunk_id", "document_id", *sorted(index.filters)):
            if column not in present:
                labels = index.filters.get(column) == "strings"
                table.create_index(column, config=LabelList() if labels else BTree())
        if text_changed or "text" not in present:
            table.create_index("text", config=_text_config(FTS, index.text))
            table.create_index("heading_path", config=_text_config(FTS, index.text))
        total = table.count_rows()
        wanted = index.vector.type == "ivf_sq" or (
            index.vector.type == "auto" and total >= index.vector.min_rows
        )
        if not wanted:
            if "vector" in present:
                table.drop_index("vector_idx")
            trained_rows = 0
        elif "vector" not in present or total > 2 * trained_rows:
            table.create_index("vector", config=IvfSq(distance_type=index.distance))
            trained_rows = total
        elif _segments(table) > MAX_SEGMENTS:
            table.to_lance().optimize.optimize_indices(num_indices_to_merge=1_000_000)
            table.checkout_latest()  # type: ignore[no-untyped-call]
            _optimize(table)
        kinds = {found.name: str(found.index_type) for found in table.list_indices()}
    return {"rows": total, "indexes": kinds, "trained_rows": trained_rows}


def retrain(table: LanceTable, index: corpus.Index) -> None:
    """Train the vector index anew, after its recall fell."""
    from lancedb.index import IvfSq

    with translated("train the vector index"):
        table.create_index("vector", config=IvfSq(distance_type=index.distance))


def _optimize(table: LanceTable) -> None:
    """Compact small files, and fold new rows into the indexes that are there.

    LanceDB's own ``optimize`` does the same, and also deletes files that no version names and that are old by
    the clock of this machine: those of another machine's build may be among them. That is left to retention.
    """
    optimizer = table.to_lance().optimize
    optimizer.compact_files()
    optimizer.optimize_indices()
    table.checkout_latest()  # type: ignore[no-untyped-call]


def _add(table: LanceTable, rows: RowSource, documents: pl.DataFrame, schema: pa.Schema) -> None:
    import pyarrow as pa

    batches = rows.batches(documents, schema)
    first = next(batches, None)
    if first is None:
        return

    def stream() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    table.add(pa.RecordBatchReader.from_batches(schema, stream()))


def count_rows_of(objects: ObjectStore, name: str, version: int, documents: pl.Series) -> int:
    """How many rows a version of the table has of some documents."""
    table = open_table(objects, name, at=version)
    assert table is not None, "a version implies a table"
    with translated(f"count rows of version {version} of the index of {name!r}"):
        parts = documents.to_frame("document_id").iter_slices(SLICE // 10)
        return sum(table.count_rows(f"document_id IN ({_quoted(part['document_id'])})") for part in parts)


def _chunk_ids_of(table: LanceTable, documents: pl.Series) -> pl.DataFrame:
    query = table.search().where(f"document_id IN ({_quoted(documents)})").select(["chunk_id"])
    found = pl.from_arrow(query.limit(table.count_rows() or 1).to_arrow())
    assert isinstance(found, pl.DataFrame)
    return found


def _quoted(values: pl.Series) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def _segments(table: LanceTable) -> int:
    stats = table.index_stats("vector_idx")
    return 0 if stats is None else int(stats.num_indices or 0)


def _text_config(fts: Any, text: corpus.TextIndex) -> Any:
    return fts(
        language=text.language,
        base_tokenizer=text.tokenizer,
        stem=text.stem,
        remove_stop_words=text.remove_stop_words,
        with_position=False,
    )
