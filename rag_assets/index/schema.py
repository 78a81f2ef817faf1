"""Columns of the published table. Metadata that must be versioned with the rows stands in the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from rag_assets import corpus
from rag_assets.errors import VerificationFailed

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1  # raise when columns change their meaning: tables are rebuilt
METADATA_KEY = b"rag_assets"


def table_schema(index: corpus.Index, dimension: int, metadata: Mapping[str, Any]) -> pa.Schema:
    """Arrow schema of a corpus's table.

    Args:
        index: the corpus file's index settings; its filters become columns.
        dimension: length of a vector.
        metadata: what a reader must know to search: embedder, distance, fingerprints.
    """
    import pyarrow as pa

    types = _filter_types()
    return pa.schema(
        [
            pa.field("chunk_id", pa.string(), nullable=False),
            pa.field("document_id", pa.string(), nullable=False),
            pa.field("uri", pa.string()),
            pa.field("title", pa.string()),
            pa.field("text", pa.string(), nullable=False),
            pa.field("heading_path", pa.list_(pa.string())),
            pa.field("position", pa.int32()),
            pa.field("start", pa.int64()),
            pa.field("end", pa.int64()),
            pa.field("tokens", pa.int32()),
            pa.field("metadata", pa.string()),
            *(pa.field(name, types[kind]) for name, kind in sorted(index.filters.items())),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ],
        metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()},
    )


def read_filters(schema: pa.Schema) -> dict[str, corpus.FilterType]:
    """Filter columns of a table and their types, as the corpus file named them that made it."""
    names = {type: name for name, type in _filter_types().items()}
    own = [field for field in schema if field.name not in corpus.RESERVED_COLUMNS]
    return {field.name: names[field.type] for field in own if field.type in names}


def _filter_types() -> dict[corpus.FilterType, pa.DataType]:
    import pyarrow as pa

    return {
        "string": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "strings": pa.list_(pa.string()),
    }


class Metadata(TypedDict):
    """What a table says about itself, as far as it is read."""

    distance: Literal["l2", "cosine", "dot"]
    embedder: dict[str, Any]  # settings with which a question is embedded
    model: dict[str, Any]  # what stands behind the vectors


_METADATA = TypeAdapter(Metadata)


def read_metadata(schema: pa.Schema) -> Metadata:
    """What ``table_schema`` was given as metadata.

    Raises:
        VerificationFailed: this package did not write the table.
    """
    try:
        return _METADATA.validate_json((schema.metadata or {}).get(METADATA_KEY, b""))
    except ValidationError as error:
        raise VerificationFailed(
            "the index does not say with which model it was embedded: another program wrote it; run the corpus, which "
            "builds its own"
        ) from error
