"""The rows that flow through the steps, and back to who began.

Into the first step flow places: listed objects, parsed texts, or chunked texts. To the model flow texts
to embed, and back flow reports of what was done. Between machines both are one kind of row. Reports are
small; texts end at the model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import polars as pl

from rag_assets.ingest.sources.source import SourceObject
from rag_assets.store.snapshots import SCHEMA as SNAPSHOT_SCHEMA

if TYPE_CHECKING:
    import pyarrow as pa

    from rag_assets.ingest.parsing.reading import Listed

Begin = Literal["objects", "texts", "chunks"]
"""Where the chain begins: at listed objects, at parsed texts, at chunked texts."""

OBJECTS = pl.Schema(
    {
        "source": pl.String(),  # prefix
        "document_id": pl.String(),
        "uri": pl.String(),
        "version": pl.String(),
        "size": pl.Int64(),
        "modified": pl.Datetime("us", "UTC"),
    }
)
TEXTS = pl.Schema({"text_key": pl.String(), "format": pl.String(), "content_key": pl.String()})
CHUNKS = pl.Schema({"text_key": pl.String()})
TO_EMBED = pl.Schema({"key": pl.String(), "text": pl.String(), "tokens": pl.Int64()})
FLOW = pl.Schema(
    {
        **TO_EMBED,  # null in a report
        "facts": pl.String(),  # of a report: JSON
        "documents": pl.Binary(),  # of a report: snapshot rows as an Arrow file
    }
)


@dataclass(slots=True)
class Report:
    """What a step did with one batch.

    Attributes:
        places: rows of the input that were dealt with.
        read: documents whose bytes were read.
        bytes_read: and how many bytes these were.
        texts: texts that were embedded, or found to be poison.
        chunk_bytes: bytes of chunk shards that were written.
        vector_bytes: bytes of embedding shards that were written.
        warm_tokens, warm_seconds: of embedding once the model was loaded.
        gone: ids of documents that were gone when they were to be read.
        left: ids of documents that only the driver may process.
        documents: snapshot rows.
    """

    places: int = 0
    read: int = 0
    bytes_read: int = 0
    texts: int = 0
    chunk_bytes: int = 0
    vector_bytes: int = 0
    warm_tokens: int = 0
    warm_seconds: float = 0.0
    gone: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    documents: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SNAPSHOT_SCHEMA))


def to_row(report: Report) -> pl.DataFrame:
    """A report as one row of the flow."""
    facts = asdict(report)
    buffer = io.BytesIO()
    facts.pop("documents").write_ipc(buffer)
    row = {"facts": json.dumps(facts), "documents": buffer.getvalue()}
    return pl.DataFrame([{**dict.fromkeys(FLOW.names()), **row}], schema=FLOW)


def reports_in(rows: pl.DataFrame) -> Iterator[Report]:
    """The reports among rows of the flow."""
    found = rows.filter(pl.col("facts").is_not_null()).select("facts", "documents")
    for facts, documents in found.iter_rows():
        yield Report(**json.loads(facts), documents=pl.read_ipc(io.BytesIO(documents)))


def listed_rows(listed: Sequence[Listed]) -> pl.DataFrame:
    """Listed objects as rows of ``OBJECTS``."""
    rows = [
        (prefix, item.document_id, item.uri, item.version, item.size, item.modified)
        for prefix, _, item in listed
    ]
    return pl.DataFrame(rows, schema=OBJECTS, orient="row")


def listed_objects(rows: pl.DataFrame) -> list[tuple[str, SourceObject]]:
    """(prefix, object) of rows of ``OBJECTS``."""
    return [(prefix, SourceObject(*item)) for prefix, *item in rows.select(OBJECTS.names()).iter_rows()]


def to_arrow(rows: pl.DataFrame) -> pa.Table:
    """Rows as Ray carries them."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def from_arrow(table: pa.Table) -> pl.DataFrame:
    """Rows as they came with Ray."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
