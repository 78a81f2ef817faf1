"""Rows of the table, from a snapshot's documents and the content stores, in bounded batches.

documents → their chunks (by text key) → their vectors (by embedding key) → Arrow batches.
The same join without text and vectors gives the ids that a snapshot demands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets import corpus
from rag_assets.errors import DataError, StageIncomplete, VerificationFailed
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENTS = 512  # documents whose chunks are looked up together
ROWS = 2048  # rows per batch, vectors included
CHUNK_ATTRIBUTES = ("embedding_key", "heading_path", "start", "end", "tokens")
UNHASHED = ("vector", "text")  # vectors are checked by themselves; the chunk id is a hash of the text already
DOCUMENT_COLUMNS = ("document_id", "uri", "text_key", "title", "metadata")
_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "strings": pl.List(pl.String()),
}


@dataclass(frozen=True)
class RowSource:
    """Where rows come from: the chunks and vectors under the current fingerprints."""

    chunks: ContentStore
    embeddings: ContentStore
    index: corpus.Index

    def contents(self, documents: pl.DataFrame, schema: pa.Schema) -> Iterator[pl.DataFrame]:
        """What the documents demand, batch by batch (see ``content_of``); poisoned chunks are left out."""
        for batch in documents.iter_slices(DOCUMENTS):
            chunks = _identified(self._chunks_of(batch.select(DOCUMENT_COLUMNS), CHUNK_ATTRIBUTES))
            rows = self._vectors_of(chunks, ("reason",)).filter(pl.col("reason").is_null())
            if rows.height:
                rows = rows.with_columns(_filters(rows, self.index))
                yield content_of(_in_order(rows, schema, without=UNHASHED))

    def poisoned(self, documents: pl.DataFrame) -> pl.DataFrame:
        """(document_id, text, reason) of chunks that the embedder refused."""
        found = [pl.DataFrame(schema={"document_id": pl.String, "text": pl.String, "reason": pl.String})]
        for batch in documents.iter_slices(DOCUMENTS):
            exploded = self._chunks_of(batch.select("document_id", "text_key"), ("embedding_key", "text"))
            rows = self._vectors_of(exploded, ("reason",)).filter(pl.col("reason").is_not_null())
            found.append(rows.select("document_id", "text", "reason"))
        return pl.concat(found)

    def dimension(self, documents: pl.DataFrame) -> int:
        """Length of the vectors. Raises DataError when not one chunk could be embedded."""
        for batch in documents.iter_slices(DOCUMENTS):
            exploded = self._chunks_of(batch.select("document_id", "text_key"), ("embedding_key",))
            vectors = self._vectors_of(exploded, ("vector",))["vector"].drop_nulls()
            if vectors.len():
                return len(vectors[0])
        raise DataError("no document has a chunk that could be embedded; nothing can be indexed")

    def batches(self, documents: pl.DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The table's rows for documents (columns of ``snapshots.READABLE``), in batches of ``ROWS`` at most."""
        for batch in documents.iter_slices(DOCUMENTS):
            chunks = _identified(self._chunks_of(batch.select(DOCUMENT_COLUMNS)))
            for part in chunks.iter_slices(ROWS):
                rows = self._vectors_of(part, ("vector", "reason")).filter(pl.col("reason").is_null())
                if rows.height:
                    yield from _to_arrow(rows.with_columns(_filters(rows, self.index)), schema)

    def _chunks_of(self, documents: pl.DataFrame, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        """One row per chunk, in document order."""
        stored = self.chunks.collect(documents["text_key"], columns)
        joined = documents.join(stored, left_on="text_key", right_on="key", how="left", maintain_order="left")
        lacking = joined.filter(pl.col("embedding_key").is_null())
        if lacking.height:
            raise StageIncomplete(
                f"{lacking.height} documents have no chunks yet, e.g. {lacking['document_id'][0]!r}; "
                "materialize chunks first"
            )
        lists = [name for name in stored.columns if name != "key"]
        # A document of nothing but white space has no chunks: its lists are empty.
        return joined.filter(pl.col("embedding_key").list.len() > 0).explode(lists)

    def _vectors_of(self, chunks: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
        stored = self.embeddings.collect(chunks["embedding_key"], columns)
        lacking = chunks.join(stored, left_on="embedding_key", right_on="key", how="anti")
        if lacking.height:
            raise StageIncomplete(
                f"{lacking.height} chunks have no embedding yet, e.g. of {lacking['document_id'][0]!r}; "
                "materialize embeddings first"
            )
        return chunks.join(stored, left_on="embedding_key", right_on="key", how="left", maintain_order="left")


def content_of(table: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    """document_id, chunk_id and content: a hash of all columns but ``UNHASHED``, comparable within a process."""
    frame = pl.from_arrow(table.select([name for name in table.schema.names if name not in UNHASHED]))
    assert isinstance(frame, pl.DataFrame)
    columns = [
        # A list that is empty and one that is missing mean the same to readers.
        pl.col(name).list.join("\x1f").fill_null("") if isinstance(dtype, pl.List) else pl.col(name)
        for name, dtype in frame.schema.items()
    ]
    return frame.select("document_id", "chunk_id", content=pl.struct(columns).hash())


def _in_order(rows: pl.DataFrame, schema: pa.Schema, without: tuple[str, ...]) -> pa.Table:
    """The rows' columns as the table has them, except some."""
    import pyarrow as pa

    fields = [field for field in schema if field.name not in without]
    return rows.select([field.name for field in fields]).to_arrow().cast(pa.schema(fields))


def _identified(rows: pl.DataFrame) -> pl.DataFrame:
    """Add chunk_id (stable when other chunks of the document change) and position."""
    order = rows.with_columns(
        occurrence=pl.int_range(pl.len()).over("document_id", "embedding_key"),
        position=pl.int_range(pl.len(), dtype=pl.Int32).over("document_id"),
    )
    ids = [
        digest(document, key, str(occurrence))
        for document, key, occurrence in order.select(
            "document_id", "embedding_key", "occurrence"
        ).iter_rows()
    ]
    return order.with_columns(pl.Series("chunk_id", ids, dtype=pl.String))


def _filters(rows: pl.DataFrame, index: corpus.Index) -> list[pl.Series]:
    """Columns from metadata; a value that is not of the declared type becomes null: it matches no filter."""
    if not index.filters:
        return []
    # Once for each document: its chunks repeat its metadata.
    parsed = {text: json.loads(text) if text else {} for text in rows["metadata"].unique()}
    fields = [parsed[text] for text in rows["metadata"]]
    return [
        pl.Series(name, [_typed(found.get(name), kind) for found in fields], dtype=_TYPES[kind])
        for name, kind in index.filters.items()
    ]


def _typed(value: Any, kind: corpus.FilterType) -> Any:
    match kind, value:
        case "string", str() | int() | float():
            return str(value)
        case "integer", int() if not isinstance(value, bool):
            return value if -(2**63) <= value < 2**63 else None
        case "number", int() | float() if not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return None
        case "boolean", bool():
            return value
        case "strings", str():
            return [value]
        case "strings", list():
            return [str(item) for item in value]
    return None


def _to_arrow(rows: pl.DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    table = _in_order(rows, schema, without=("vector",))
    values = rows["vector"].explode().to_arrow()
    vector_type = schema.field("vector").type
    if len(values) != rows.height * vector_type.list_size:
        raise VerificationFailed(f"vectors are not all of dimension {vector_type.list_size}")
    table = table.append_column("vector", pa.FixedSizeListArray.from_arrays(values, vector_type.list_size))
    yield from table.select(schema.names).cast(schema).to_batches()
