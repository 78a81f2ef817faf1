"""Erasures: which documents must not be read again, whatever their sources still hold.

An erased id stays away from every later snapshot until its mark is lifted. The marks are one
small numbered table, ``corpora/<name>/erasures/<number>.parquet``: each number holds all marks,
so a reader opens one object, and a number is claimed by whoever creates it first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from rag_assets.errors import SnapshotConflict
from rag_assets.store.files import parquet_bytes, read_parquet
from rag_assets.store.objects import ObjectStore

SCHEMA = pl.Schema(
    {
        "document_id": pl.String(),
        "number": pl.Int64(),  # of the table that marked it last
        "event": pl.String(),  # who demanded it
        "occurred": pl.Datetime("us", "UTC"),  # when it was demanded: what is older does not lift it
        "lifted": pl.Boolean(),  # a new document took the place
    }
)
KEPT_TABLES = 2


@dataclass(frozen=True, slots=True)
class Demand:
    """Who demanded an erasure, and when, with time zone."""

    event: str
    occurred: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """When a document was last demanded to be erased, and whether a new one took its place since."""

    occurred: datetime
    lifted: bool


class ErasureLog:
    """The erasures of one corpus."""

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._objects = objects
        self._root = f"corpora/{corpus}/erasures"

    def number(self) -> int:
        """Number of the newest table; 0 before the first erasure."""
        return max(self._numbers(), default=0)

    def marks(self) -> dict[str, Mark]:
        """All marks by document id, lifted ones included."""
        rows = self._newest().select("document_id", "occurred", "lifted")
        return {name: Mark(occurred, lifted) for name, occurred, lifted in rows.iter_rows()}

    def erased(self) -> set[str]:
        """Document ids that must not be read."""
        return set(self._newest().filter(~pl.col("lifted"))["document_id"])

    def since(self, number: int) -> list[str]:
        """Document ids that were marked after a number, lifted since or not, in the order of their marks."""
        return self._newest().filter(pl.col("number") > number).sort("number")["document_id"].to_list()

    def commit(self, erased: Mapping[str, Demand], lifted: Sequence[str] = ()) -> int:
        """Mark documents (id → demand) and lift marks, those just made included; nothing new writes nothing.

        A demand that is not newer than the mark of a document that is still erased is nothing new.

        Returns:
            The number of the table that holds now.

        Raises:
            SnapshotConflict: another run wrote the next table first.
        """
        number = self.number()
        marks = self._read(number)
        standing = dict(marks.filter(~pl.col("lifted")).select("document_id", "occurred").iter_rows())
        fresh = {
            name: demand
            for name, demand in erased.items()
            if name not in standing or demand.occurred > standing[name]
        }
        lift = [name for name in lifted if name in standing or name in fresh]
        if not fresh and not lift:
            return number
        added = pl.DataFrame(
            [(name, number + 1, demand.event, demand.occurred, False) for name, demand in fresh.items()],
            schema=SCHEMA,
            orient="row",
        )
        kept = marks.filter(~pl.col("document_id").is_in(list(fresh)))
        table = pl.concat([kept, added]).with_columns(
            lifted=pl.col("lifted") | pl.col("document_id").is_in(lift)
        )
        if not self._objects.create(self._path(number + 1), parquet_bytes(table)):
            raise SnapshotConflict(f"erasure table {number + 1} was written by another run; run again")
        self._objects.delete(self._path(old) for old in self._numbers() if old <= number + 1 - KEPT_TABLES)
        return number + 1

    def _newest(self) -> pl.DataFrame:
        return self._read(self.number())

    def _numbers(self) -> list[int]:
        return [
            int(info.path.rsplit("/", 1)[1].removesuffix(".parquet"))
            for info in self._objects.list(self._root)
        ]

    def _read(self, number: int) -> pl.DataFrame:
        if number == 0:
            return pl.DataFrame(schema=SCHEMA)
        return read_parquet(self._objects, self._path(number), tuple(SCHEMA.names()))

    def _path(self, number: int) -> str:
        return f"{self._root}/{number:08d}.parquet"
