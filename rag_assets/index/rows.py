"""Rows of the table, from a snapshot's documents and the content stores, in bounded batches.

documents → their chunks (by text key) → their vectors (by embedding key) → Arrow batches.
Hashes of the same rows are what a snapshot demands of a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from rag_assets import corpus
from rag_assets.errors import DataError, StageIncomplete, VerificationFailed
from rag_assets.ingest.chunking.context import embedding_key
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from rag_assets.ingest.context import IngestContext

DOCUMENTS = 512  # documents whose chunks are looked up together
ROWS = 2048  # rows per batch, vectors included
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

    @classmethod
    def of(cls, context: IngestContext) -> RowSource:
        """What was made of a corpus."""
        return cls(context.chunks, context.embeddings, context.corpus.index)

    def contents(self, documents: pl.DataFrame, schema: pa.Schema) -> Contents:
        """What the documents demand of a table, to be read as often as one likes; poisoned chunks are left out."""
        return Contents(self, documents, schema)

    def whole(self, documents: pl.DataFrame) -> pl.DataFrame:
        """Those of the documents that have all of their chunks and vectors in the stores."""
        found = [documents.clear()]
        for batch in documents.iter_slices(DOCUMENTS):
            stored = self.chunks.collect(batch["text_key"], ("embedding_key",))
            keys = stored.explode("embedding_key").drop_nulls()
            missing = self.embeddings.missing(keys["embedding_key"])
            partial = keys.filter(pl.col("embedding_key").is_in(missing.implode()))["key"]
            present = stored.filter(~pl.col("key").is_in(partial.implode()))["key"]
            found.append(batch.filter(pl.col("text_key").is_in(present.implode())))
        return pl.concat(found)

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

    def batches(
        self, documents: pl.DataFrame, schema: pa.Schema, *, checked: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """The table's rows for documents (columns of ``snapshots.READABLE``), in batches of ``ROWS`` at most.

        ``checked`` holds the texts of the store against their keys. Raises StageIncomplete for what is lacking.
        """
        for batch in documents.iter_slices(DOCUMENTS):
            chunks = _identified(self._chunks_of(batch.select(DOCUMENT_COLUMNS)))
            if checked:
                self._require_own_texts(chunks)
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

    def _require_own_texts(self, chunks: pl.DataFrame) -> None:
        """Drop chunks from the store whose text is not the one that their key was made of, and say so."""
        columns = chunks.select("context", "text", "embedding_key").iter_rows()
        wrong = chunks.filter([embedding_key(context, text) != key for context, text, key in columns])
        if wrong.height:
            self.chunks.drop(wrong["text_key"])
            raise StageIncomplete(
                f"{wrong.height} chunks in the store were damaged, e.g. of {wrong['document_id'][0]!r}; they were "
                "dropped: materialize chunks again"
            )

    def _vectors_of(self, chunks: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
        stored = self.embeddings.collect(chunks["embedding_key"], columns)
        lacking = chunks.join(stored, left_on="embedding_key", right_on="key", how="anti")
        if lacking.height:
            raise StageIncomplete(
                f"{lacking.height} chunks have no embedding yet, e.g. of {lacking['document_id'][0]!r}; "
                "materialize embeddings first"
            )
        return chunks.join(stored, left_on="embedding_key", right_on="key", how="left", maintain_order="left")


@dataclass(frozen=True)
class Contents:
    """What documents demand of a table, batch by batch (see ``content_of``). Each iteration reads the stores anew."""

    rows: RowSource
    documents: pl.DataFrame
    schema: pa.Schema

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return map(content_of, self.rows.batches(self.documents, self.schema, checked=True))


def content_of(table: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    """document_id, chunk_id and content: a hash of all columns, text and vector included, comparable within a process."""
    frame = pl.from_arrow(table.select([name for name in table.schema.names if name != "vector"]))
    assert isinstance(frame, pl.DataFrame)
    columns = [
        # A list that is empty and one that is missing mean the same to readers.
        pl.col(name).list.join("\x1f").fill_null("") if isinstance(dtype, pl.List) else pl.col(name)
        for name, dtype in frame.schema.items()
    ]
    vectors = pl.Series(_hashes(vectors_of(table)), dtype=pl.UInt64)
    return frame.select("document_id", "chunk_id", content=pl.struct(columns).hash() ^ vectors)


def vectors_of(table: pa.Table | pa.RecordBatch) -> NDArray[np.float32]:
    """The vectors as a matrix with a row for each; one that is null is a row of NaN."""
    import pyarrow as pa

    column = table.column("vector")
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    vectors = np.full((len(column), column.type.list_size), np.nan, dtype=np.float32)
    vectors[present] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    return vectors


def _hashes(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A hash of each vector's bits: sums of products with odd random numbers, modulo 2⁶⁴."""
    bits = vectors.view(np.uint32).astype(np.uint64)
    return np.asarray((bits * _multipliers(vectors.shape[1])).sum(axis=1, dtype=np.uint64), dtype=np.uint64)


@cache
def _multipliers(dimension: int) -> NDArray[np.uint64]:
    return np.random.default_rng(dimension).integers(2**63, size=dimension, dtype=np.uint64) * 2 + 1


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
