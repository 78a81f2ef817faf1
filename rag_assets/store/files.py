"""Parquet and JSON objects of the store: read whole or named as damaged, with what helps."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from rag_assets.errors import StoreUnavailable, redacted
from rag_assets.store.objects import ObjectNotFound, ObjectStore

REMADE = ("contexts", "measurements", "reports", "quality")
"""Folders of a corpus whose objects can be made anew from the others."""


class ObjectDamaged(StoreUnavailable):
    """An object is there, but it is not what was written. The message says what helps."""

    retryable = False


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet, for one atomic put."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


def read_parquet(objects: ObjectStore, path: str, columns: Sequence[str] | pl.Expr) -> pl.DataFrame:
    """Some columns of a stored Parquet file. The seam to Polars' reader.

    Raises:
        ObjectNotFound: there is none.
        ObjectDamaged: it is not whole.
        StoreUnavailable: the store did not answer.
    """
    uri = objects.uri(path)
    try:
        return scan_parquet(objects, path).select(columns).collect()
    except FileNotFoundError as error:
        raise ObjectNotFound(f"{uri}: no such object") from error
    except OSError as error:
        raise StoreUnavailable(f"could not read {uri}: {redacted(str(error).splitlines()[0])}") from error
    except pl.exceptions.ComputeError as error:
        raise _damaged(objects, path, str(error).splitlines()[0]) from error


def scan_parquet(objects: ObjectStore, path: str) -> pl.LazyFrame:
    """A stored Parquet file, read when it is collected. For files that ``read_parquet`` has found whole."""
    return pl.scan_parquet(objects.uri(path), storage_options=objects.storage_options or None, glob=False)


def write_batches(objects: ObjectStore, path: str, batches: Iterable[pl.DataFrame]) -> None:
    """Frames of one schema as one Parquet object that appears when all are written. Holds one at a time."""
    import pyarrow.parquet as pq

    with TemporaryDirectory() as folder:
        local, writer = Path(folder) / "rows.parquet", None
        for batch in batches:
            table = batch.to_arrow()
            if writer is None:
                writer = pq.ParquetWriter(local, table.schema, compression="zstd", compression_level=1)
            writer.write_table(table)
        assert writer is not None, "at least one batch tells the schema"
        writer.close()
        objects.put(path, local)


def write_lazy(objects: ObjectStore, path: str, rows: pl.LazyFrame) -> None:
    """A lazy frame as one Parquet object that appears when all is written. Runs in the streaming engine."""
    with TemporaryDirectory() as folder:
        local = Path(folder) / "rows.parquet"
        rows.sink_parquet(local, compression="zstd", compression_level=1)
        objects.put(path, local)


def read_json(objects: ObjectStore, path: str) -> dict[str, Any]:
    """A stored JSON record.

    Raises:
        ObjectNotFound: there is none.
        ObjectDamaged: it is no JSON object.
    """
    try:
        found = json.loads(objects.get(path))
    except ValueError as error:
        raise _damaged(objects, path, str(error)) from error
    if not isinstance(found, dict):
        raise _damaged(objects, path, "not a record")
    return found


def _damaged(objects: ObjectStore, path: str, found: str) -> ObjectDamaged:
    advice = "delete it to have it made anew"
    # The only record of what was: others point to it by number.
    if path.startswith("corpora/") and path.split("/")[2] not in REMADE:
        name = path.split("/")[1]
        advice = (
            f"put it back from a backup, or delete index/{name}.lance/ and corpora/{name}/ but its pushed/ and erasures/ "
            "together and run: all is built anew without embedding, and the history starts anew"
        )
    return ObjectDamaged(f"{objects.uri(path)} is damaged: {found}; {advice}")
