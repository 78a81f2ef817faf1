"""Which shard holds which key: a derived index, so that no look-up reads all key columns.

Entries (key, shard) lie in buckets by key prefix. The index covers the shards that it names and
no others; it may be old, damaged or lost, and the shards themselves stay the truth. A new one is
written beside the old one and takes its place in one put.

::

    index/<bucket>-<digest>.parquet   entries of one bucket
    index.json                        shards covered, names of the buckets
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import polars as pl
from pydantic import TypeAdapter

from rag_assets.store.digest import digest
from rag_assets.store.files import parquet_bytes, read_parquet, read_record
from rag_assets.store.objects import ObjectLost, ObjectStore

KEY = "key"
BUCKETS = 64
ENTRIES = pl.Schema({KEY: pl.String(), "shard": pl.String()})


@dataclass(frozen=True, slots=True)
class Record:
    """``index.json``: names of the shards that are covered, and of the buckets."""

    shards: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()


class KeyIndex:
    """The index as it stood when it was opened.

    Args:
        objects: the store.
        root: the folder above the shards.
        ignored: start from nothing, since what is there is damaged.

    Attributes:
        shards: names of the shards that it covers, gone ones included.
    """

    def __init__(self, objects: ObjectStore, root: str, *, ignored: bool = False) -> None:
        self._objects = objects
        self._root = root
        record = Record() if ignored else _read(objects, f"{root}/index.json")
        self.shards: frozenset[str] = frozenset(record.shards)
        self._names: tuple[str, ...] = record.buckets
        # All stay at hand: keys are hashes, so that any batch of keys touches every bucket.
        self._buckets: dict[int, pl.DataFrame] = {}

    def look_up(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Entries of the wanted keys (column ``key``). Raises ObjectLost for a lost bucket."""
        found = [pl.DataFrame(schema=ENTRIES)]
        if self._names:
            for (bucket,), part in wanted.group_by(_bucket_of(pl.col(KEY))):
                found.append(self._bucket(int(bucket)).join(part, on=KEY, how="semi"))
        return pl.concat(found)

    def rewrite(self, alive: Iterable[str], more: pl.DataFrame) -> None:
        """Write the index that follows: this one's entries of the shards alive, and more entries.

        Its buckets have new names, so that those who hold this one go on reading. This object is
        out of date afterwards.
        """
        kept = pl.DataFrame({"shard": sorted(alive)}, schema={"shard": pl.String})
        added = more.with_columns(bucket=_bucket_of(pl.col(KEY)))
        names: list[str] = []
        for bucket in range(BUCKETS):
            entries = added.filter(pl.col("bucket") == bucket).drop("bucket")
            if self._names:
                entries = pl.concat([self._bucket(bucket).join(kept, on="shard", how="semi"), entries])
            entries = entries.unique().sort(KEY, "shard")
            name = f"{bucket:02d}-{digest(*entries[KEY], *entries['shard'])}"
            self._objects.put(self._path(name), parquet_bytes(entries))
            names.append(name)
        shards = sorted({*kept["shard"], *more["shard"]})
        record = json.dumps(asdict(Record(tuple(shards), tuple(names))))
        self._objects.put(f"{self._root}/index.json", record.encode())
        self._objects.delete(self._path(name) for name in self._names if name not in names)

    def _path(self, name: str) -> str:
        return f"{self._root}/index/{name}.parquet"

    def _bucket(self, bucket: int) -> pl.DataFrame:
        if bucket not in self._buckets:
            self._buckets[bucket] = read_parquet(self._objects, self._path(self._names[bucket]), ENTRIES)
        return self._buckets[bucket]


_RECORD = TypeAdapter(Record)


def _read(objects: ObjectStore, path: str) -> Record:
    """The record under a path; an empty one where it is lost or damaged: the index costs time, and no row."""
    try:
        found = read_record(objects, path, _RECORD)
    except ObjectLost:
        return Record()
    return found if len(found.buckets) == BUCKETS else Record()


def _bucket_of(key: pl.Expr) -> pl.Expr:
    return key.str.slice(0, 2).str.to_integer(base=16, dtype=pl.Int64) % BUCKETS
