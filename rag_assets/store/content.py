"""Content store: append-only Parquet, keyed by content, one per stage and fingerprint.

keys needed → ``missing`` (anti-join with the keys present) → work → ``commit`` (one shard,
whole or not at all) → ``get``. Shards are never changed, so a crash loses at most the batch
in flight, and a key that is there is never computed again.

Rows stay in the order in which they were written: what was processed together is read
together. Lookup by key goes through an index of (key → shard), split into buckets by key
prefix. The index is derived: shards that it does not cover are read directly, entries of
shards that are gone are ignored, and losing it costs one scan of the key columns.

::

    content/<stage>/<fingerprint>/about.json          what the fingerprint stands for
    content/<stage>/<fingerprint>/shards/<id>.parquet
    content/<stage>/<fingerprint>/index/<id>.parquet  buckets, named in index.json
    content/<stage>/<fingerprint>/index.json
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from rag_assets.store.digest import digest
from rag_assets.store.objects import ObjectNotFound, ObjectStore

KEY = "key"
INDEX_BUCKETS = 64
UNINDEXED_SHARDS = 64  # shards beyond the index before it is rewritten
SMALL_SHARDS = 32  # small shards before they are merged
SMALL_ROWS = 512  # a shard with fewer rows is small
MERGED_ROWS = 4096  # rows of a merged shard, at most
CACHED_SHARDS = 4
CACHED_BUCKETS = 16
READERS = 8


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet, for one atomic put."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


class ContentStore:
    """Rows of one stage under one fingerprint, addressed by content key.

    Args:
        objects: the store.
        stage: name of the stage.
        fingerprint: what, besides the key, determines a row.
        schema: columns of a row; the first is ``key`` (32 hex characters), unique per row.
        about: what the fingerprint stands for, kept beside the shards for people.
    """

    def __init__(
        self, objects: ObjectStore, stage: str, fingerprint: str, schema: pl.Schema, about: Mapping[str, Any]
    ) -> None:
        self._objects = objects
        self._root = f"content/{stage}/{fingerprint}"
        self.schema = schema
        self._about = about
        self._keys: dict[str, pl.Series] | None = None  # shards beyond the index: their keys
        self._recent: pl.DataFrame | None = None  # the same as one frame (key, shard)
        self._indexed: list[str] = []
        self._buckets: list[str] = []
        self._bucket_cache: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._shard_cache: OrderedDict[tuple[str, tuple[str, ...]], pl.DataFrame] = OrderedDict()

    def missing(self, keys: pl.Series) -> pl.Series:
        """The distinct keys of ``keys`` that the store does not hold, in their order."""
        wanted = keys.unique(maintain_order=True).alias(KEY).to_frame()
        return wanted.join(self._locate(wanted), on=KEY, how="anti", maintain_order="left")[KEY]

    def commit(self, rows: pl.DataFrame) -> int:
        """Write rows as one shard. The same rows written twice are one shard. Returns its bytes."""
        self._load()
        assert self._keys is not None
        if not self._keys and not self._indexed:
            self._objects.put(f"{self._root}/about.json", json.dumps(self._about, indent=2).encode())
        rows = rows.select(self.schema.names()).cast(self.schema)
        data = parquet_bytes(rows)
        shard = digest(*rows[KEY])
        self._objects.put(self._shard_path(shard), data)
        self._keys[shard] = rows[KEY]
        self._recent = None
        return len(data)

    def get(self, keys: pl.Series, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Rows of the keys that are present, shard by shard, in no promised order.

        Args:
            keys: keys wanted; unknown ones are left out.
            columns: columns wanted besides the key (default: all).
        """
        names = (KEY, *[name for name in (columns or self.schema.names()) if name != KEY])
        wanted = keys.unique().alias(KEY).to_frame()
        for attempt in range(3):
            vanished = []
            located = self._locate(wanted)
            for (shard,), part in located.group_by(["shard"], maintain_order=True):
                try:
                    rows = self._read(str(shard), names)
                except ObjectNotFound:
                    vanished.append(part)  # merged into another shard meanwhile
                    continue
                yield rows.join(part, on=KEY, how="semi").unique(KEY, keep="first")
            if not vanished:
                return
            self._forget()
            wanted = pl.concat(vanished).select(KEY)
        raise ObjectNotFound(
            f"{self._objects.uri(self._root)}: shards kept vanishing after {attempt + 1} attempts"
        )

    def collect(self, keys: pl.Series, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows of ``get`` as one frame."""
        names = [KEY, *[name for name in (columns or self.schema.names()) if name != KEY]]
        empty = pl.DataFrame(schema={name: self.schema[name] for name in names})
        return pl.concat([empty, *self.get(keys, columns)])

    def drop(self, keys: pl.Series) -> None:
        """Forget rows: the shards that hold them are rewritten without them."""
        located = self._locate(keys.unique().alias(KEY).to_frame())
        for (shard,), part in located.group_by(["shard"]):
            rows = self._read(str(shard), tuple(self.schema.names()))
            kept = rows.join(part, on=KEY, how="anti")
            if kept.height:
                self.commit(kept)
            self._delete([str(shard)])

    def maintain(self) -> None:
        """Merge small shards and renew the index, when there is enough to do. Cheap otherwise."""
        self._load()
        assert self._keys is not None
        small = [shard for shard, keys in self._keys.items() if keys.len() < SMALL_ROWS]
        if len(small) >= SMALL_SHARDS:
            self._merge(small)
        if len(self._keys) >= UNINDEXED_SHARDS:
            self._reindex()

    # -- shards -------------------------------------------------------------------------

    def _shard_path(self, shard: str) -> str:
        return f"{self._root}/shards/{shard}.parquet"

    def _read(self, shard: str, columns: tuple[str, ...]) -> pl.DataFrame:
        cached = self._shard_cache.get((shard, columns))
        if cached is not None:
            self._shard_cache.move_to_end((shard, columns))
            return cached
        frame = read_parquet(self._objects, self._shard_path(shard), columns)
        self._shard_cache[(shard, columns)] = frame
        if len(self._shard_cache) > CACHED_SHARDS:
            self._shard_cache.popitem(last=False)
        return frame

    def _merge(self, shards: list[str]) -> None:
        parts: list[pl.DataFrame] = []
        merged: list[str] = []

        def flush() -> None:
            if not parts:
                return
            self.commit(pl.concat(parts).unique(KEY, keep="first", maintain_order=True))
            self._delete(merged)
            parts.clear()
            merged.clear()

        for shard in shards:
            rows = self._read(shard, tuple(self.schema.names()))
            if parts and sum(part.height for part in parts) + rows.height > MERGED_ROWS:
                flush()
            parts.append(rows)
            merged.append(shard)
        if len(merged) > 1:
            flush()

    def _delete(self, shards: list[str]) -> None:
        assert self._keys is not None
        self._objects.delete(self._shard_path(shard) for shard in shards)
        for shard in shards:
            self._keys.pop(shard, None)
            if shard in self._indexed:
                self._indexed = [other for other in self._indexed if other != shard]
        self._recent = None
        self._shard_cache.clear()

    # -- index --------------------------------------------------------------------------

    def _forget(self) -> None:
        self._keys = None
        self._recent = None
        self._bucket_cache.clear()
        self._shard_cache.clear()

    def _load(self, *, with_index: bool = True) -> None:
        if self._keys is not None:
            return
        present = {
            info.path.rsplit("/", 1)[1].removesuffix(".parquet")
            for info in self._objects.list(f"{self._root}/shards")
        }
        index = json.loads((with_index and self._objects.find(f"{self._root}/index.json")) or b"{}")
        covered = set(index.get("shards", []))
        self._buckets = index.get("buckets", [])
        self._indexed = sorted(covered & present)
        uncovered = sorted(present - covered)
        with ThreadPoolExecutor(READERS) as pool:  # an object store answers in tens of milliseconds
            frames = pool.map(
                lambda shard: read_parquet(self._objects, self._shard_path(shard), (KEY,)), uncovered
            )
            self._keys = {shard: frame[KEY] for shard, frame in zip(uncovered, frames, strict=True)}

    def _locate(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """(key, shard) of the wanted keys that are present; one shard for each key."""
        try:
            return self._look_up(wanted)
        except ObjectNotFound:
            self._forget()  # another process renewed the index or merged shards
        try:
            return self._look_up(wanted)
        except ObjectNotFound:
            self._forget()  # the index is damaged: the shards themselves are the truth
            self._load(with_index=False)
            return self._look_up(wanted)

    def _look_up(self, wanted: pl.DataFrame) -> pl.DataFrame:
        self._load()
        assert self._keys is not None
        if self._recent is None:
            empty = pl.DataFrame(schema={KEY: pl.String, "shard": pl.String})
            self._recent = pl.concat([empty, *self._entries()])
        found = [wanted.join(self._recent, on=KEY, how="inner")]
        if self._indexed:
            alive = pl.DataFrame({"shard": self._indexed})
            for (bucket,), part in wanted.group_by(_bucket_of(pl.col(KEY))):
                hit = self._bucket(int(bucket)).join(part, on=KEY, how="semi")
                found.append(hit.join(alive, on="shard", how="semi"))
        return pl.concat(found).unique(KEY, keep="any")

    def _entries(self) -> list[pl.DataFrame]:
        """(key, shard) of the shards beyond the index."""
        assert self._keys is not None
        return [
            keys.alias(KEY).to_frame().with_columns(shard=pl.lit(shard)) for shard, keys in self._keys.items()
        ]

    def _bucket(self, bucket: int) -> pl.DataFrame:
        name = self._buckets[bucket]
        if name not in self._bucket_cache:
            self._bucket_cache[name] = read_parquet(
                self._objects, f"{self._root}/index/{name}.parquet", (KEY, "shard")
            )
            if len(self._bucket_cache) > CACHED_BUCKETS:
                self._bucket_cache.popitem(last=False)
        return self._bucket_cache[name]

    def _reindex(self) -> None:
        """Write a new index over all shards. Its buckets have new names, so readers of the old one go on."""
        assert self._keys is not None
        alive = pl.DataFrame({"shard": self._indexed}, schema={"shard": pl.String})
        recent = pl.concat(self._entries()).with_columns(bucket=_bucket_of(pl.col(KEY)))
        old, names = self._buckets, []
        for bucket in range(INDEX_BUCKETS):
            entries = recent.filter(pl.col("bucket") == bucket).drop("bucket")
            if old:
                entries = pl.concat([self._bucket(bucket).join(alive, on="shard", how="semi"), entries])
            entries = entries.unique(KEY, keep="any").sort(KEY)
            name = f"{bucket:02d}-{digest(*entries[KEY], *entries['shard'])}"
            self._objects.put(f"{self._root}/index/{name}.parquet", parquet_bytes(entries))
            names.append(name)
        shards = sorted([*self._indexed, *self._keys])
        self._objects.put(
            f"{self._root}/index.json", json.dumps({"shards": shards, "buckets": names}).encode()
        )
        self._objects.delete(f"{self._root}/index/{name}.parquet" for name in old if name not in names)
        self._forget()


def read_parquet(objects: ObjectStore, path: str, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of a stored Parquet file. Raises ObjectNotFound."""
    try:
        return (
            pl.scan_parquet(objects.uri(path), storage_options=objects.storage_options or None, glob=False)
            .select(columns)
            .collect()
        )
    except (FileNotFoundError, pl.exceptions.ComputeError) as error:
        if isinstance(error, FileNotFoundError) or "not found" in str(error).lower() or "404" in str(error):
            raise ObjectNotFound(f"{objects.uri(path)}: no such object") from error
        raise


def _bucket_of(key: pl.Expr) -> pl.Expr:
    return key.str.slice(0, 2).str.to_integer(base=16, dtype=pl.Int64) % INDEX_BUCKETS
