"""Erasures: which documents must not be read again, whatever their sources still hold.

An erased id stays away from every later snapshot until its mark is lifted. The marks are one
small numbered table, ``corpora/<name>/erasures/<number>.parquet``: each number holds all marks,
so a reader opens one object, and a number is claimed by whoever creates it first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from rag_assets.errors import SnapshotConflict
from rag_assets.store.files import numbered, parquet_bytes, read_parquet
from rag_assets.store.objects import ObjectStore

SCHEMA = pl.Schema(
    {
        "document_id": pl.String(),
        "number": pl.Int64(),  # of the table that marked it or lifted the mark
        "event": pl.String(),  # who demanded it
        "occurred": pl.Datetime("us", "UTC"),  # when it was demanded: what is older does not lift it
        "lifted": pl.Boolean(),  # a new document took the place
        "snapshot": pl.Int64(),  # the last one that may hold the old document
    }
)
KEPT_TABLES = 2


@dataclass(frozen=True, slots=True)
class Demand:
    """An erasure.

    Attributes:
        event: who demanded it.
        occurred: when, with time zone.
        snapshot: the last one that may hold the old document.
    """

    event: str
    occurred: datetime
    snapshot: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The last erasure of a document.

    Attributes:
        occurred: when it was demanded.
        lifted: whether a new document took the place since.
        snapshot: the last one that may hold the old document.
    """

    occurred: datetime
    lifted: bool
    snapshot: int


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
        rows = self._newest().select("document_id", "occurred", "lifted", "snapshot")
        return {name: Mark(*found) for name, *found in rows.iter_rows()}

    def erased(self) -> set[str]:
        """Document ids that must not be read."""
        return set(self._newest().filter(~pl.col("lifted"))["document_id"])

    def since(self, number: int) -> list[str]:
        """Document ids that were marked, or whose mark was lifted, after a number, in that order."""
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
            [
                (name, number + 1, demand.event, demand.occurred, False, demand.snapshot)
                for name, demand in fresh.items()
            ],
            schema=SCHEMA,
            orient="row",
        )
        kept = marks.filter(~pl.col("document_id").is_in(list(fresh)))
        lifting = pl.col("document_id").is_in(lift)
        table = pl.concat([kept, added]).with_columns(
            # Another number: who was told of the mark is told of its end, too.
            number=pl.when(lifting).then(number + 1).otherwise("number"),
            lifted=pl.col("lifted") | lifting,
        )
        self._write(number + 1, table)
        return number + 1

    def renew(self, documents: Collection[str]) -> None:
        """Mark documents as erased again whose mark was lifted for a new one that is not there after all.

        Raises:
            SnapshotConflict: another run wrote the next table first.
        """
        number = self.number()
        again = pl.col("document_id").is_in(list(documents)) & pl.col("lifted")
        marks = self._read(number)
        if not marks.filter(again).is_empty():
            renewed = marks.with_columns(
                number=pl.when(again).then(number + 1).otherwise("number"), lifted=pl.col("lifted") & ~again
            )
            self._write(number + 1, renewed)

    def _write(self, number: int, table: pl.DataFrame) -> None:
        if not self._objects.create(self._path(number), parquet_bytes(table)):
            raise SnapshotConflict(f"erasure table {number} was written by another run; run again")
        self._objects.delete(self._path(old) for old in self._numbers() if old <= number - KEPT_TABLES)

    def _newest(self) -> pl.DataFrame:
        return self._read(self.number())

    def _numbers(self) -> list[int]:
        return numbered(self._objects, self._root, ".parquet")

    def _read(self, number: int) -> pl.DataFrame:
        if number == 0:
            return pl.DataFrame(schema=SCHEMA)
        return read_parquet(self._objects, self._path(number), SCHEMA)

    def _path(self, number: int) -> str:
        return f"{self._root}/{number:08d}.parquet"
