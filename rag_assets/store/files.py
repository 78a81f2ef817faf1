"""Parquet and JSON objects of the store: read whole and of their type, or named as damaged, with what helps."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import polars as pl
from pydantic import TypeAdapter, ValidationError

from rag_assets.errors import StoreUnavailable, redacted, well_formed
from rag_assets.escapes import logger
from rag_assets.store.advice import advice
from rag_assets.store.objects import ObjectLost, ObjectNotFound, ObjectStore

T = TypeVar("T")
_log = logger(__name__)


class ObjectDamaged(ObjectLost):
    """An object is there, but it is not what was written. The message says what helps."""


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet, for one atomic put."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


def json_bytes(record: Any) -> bytes:
    """A record as JSON, for one atomic put; it can be read again whatever people and servers wrote."""
    return well_formed(json.dumps(record, indent=2, ensure_ascii=False)).encode()


def read_parquet(
    objects: ObjectStore, path: str, columns: Mapping[str, pl.DataType] | pl.Expr
) -> pl.DataFrame:
    """Some columns of a stored Parquet file. The seam to Polars' reader.

    Args:
        objects: the store.
        path: of the file.
        columns: names and types of the columns, or an expression that selects them.

    Raises:
        ObjectNotFound: there is none.
        ObjectDamaged: it is not whole, or lacks a column, or has another type there.
        StoreUnavailable: the store did not answer.
    """
    uri = objects.uri(path)
    try:
        return _typed(scan_parquet(objects, path), columns)
    except FileNotFoundError as error:
        raise ObjectNotFound(f"{uri}: no such object; {advice(path)}") from error
    except OSError as error:
        raise StoreUnavailable(f"could not read {uri}: {redacted(str(error).splitlines()[0])}") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        # Once more from its bytes: only the store can tell a damaged object from a connection that broke.
        data = objects.get(path)
    try:
        return _typed(pl.read_parquet(io.BytesIO(data)).lazy(), columns)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise damaged(objects, path, str(error)) from error


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


def read_record(objects: ObjectStore, path: str, type: TypeAdapter[T]) -> T:
    """A stored JSON record as a value of its type.

    Raises:
        ObjectNotFound: there is none.
        ObjectDamaged: it is no JSON, lacks a field, or has a value of another type.
    """
    try:
        return type.validate_json(objects.get(path), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise damaged(objects, path, f"{place}: {first['msg']}" if place else first["msg"]) from error


def numbered(objects: ObjectStore, folder: str, suffix: str) -> list[int]:
    """Numbers of the objects of a folder whose names are a number of eight digits or more and a suffix.

    Other files, which nothing here writes, are left alone.
    """
    name = re.compile(rf"{re.escape(folder)}/(\d{{8,}}){re.escape(suffix)}")
    matches = (name.fullmatch(info.path) for info in objects.list(folder))
    return [int(match[1]) for match in matches if match]


def damaged(objects: ObjectStore, path: str, found: str) -> ObjectDamaged:
    """The error of an object that is not what was written: what was found there, and what helps."""
    line = redacted(found.strip().partition("\n")[0])
    return ObjectDamaged(f"{objects.uri(path)} is damaged: {line}; {advice(path)}")


@lru_cache(maxsize=1000)
def warn(message: str) -> None:
    """Tell people that something is damaged and what is done about it; once in a process."""
    _log.warning(message)


def _typed(rows: pl.LazyFrame, columns: Mapping[str, pl.DataType] | pl.Expr) -> pl.DataFrame:
    if isinstance(columns, pl.Expr):
        return rows.select(columns).collect()
    return rows.select(list(columns)).cast(pl.Schema(columns)).collect()
