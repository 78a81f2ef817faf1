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

from rag_assets.errors import StoreUnavailable, redacted
from rag_assets.store.digest import digest
from rag_assets.store.objects import ObjectNotFound, ObjectStore

KEY = "key"
INDEX_BUCKETS = 64
UNINDEXED_SHARDS = 64  # shards beyond the index before it is rewritten
SMALL_SHARDS = 32  # small shards before they are merged
SMALL_ROWS = 512  # a shard with fewer rows is small
MERGED_ROWS = 4096  # rows of a merged shard, at most
CACHED_SHARDS = 2
CACHED_BUCKETS = 64  # all of them: keys are hashes, so that any batch touches every bucket
ATTEMPTS = 10  # looks at a store whose shards another process keeps merging


class ObjectDamaged(StoreUnavailable):
    """An object is there, but it is not what was written. The message says what helps."""

    retryable = False


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
        shard = _shard_of(rows)
        self._objects.put(self._shard_path(shard), data)
        self._keys[shard] = rows[KEY]
        self._recent = None
        return len(data)

    def get(self, keys: pl.Series, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Rows of the keys that are present, shard by shard, each in the order of writing.

        Args:
            keys: keys wanted; unknown ones are left out.
            columns: columns wanted besides the key (default: all).
        """
        names = self._names(columns)
        wanted = keys.unique().alias(KEY).to_frame()
        for _ in range(ATTEMPTS):
            vanished = []
            located = self._locate(wanted).unique(KEY, keep="any")
            for (shard,), part in located.group_by(["shard"], maintain_order=True):
                try:
                    rows = self._read(str(shard), names)
                except ObjectNotFound:
                    vanished.append(part)  # merged into another shard meanwhile
                    continue
                hit = rows.join(part, on=KEY, how="semi", maintain_order="left")
                yield hit.unique(KEY, keep="first", maintain_order=True)
            if not vanished:
                return
            self._forget()
            wanted = pl.concat(vanished).select(KEY)
        raise ObjectNotFound(f"{self._objects.uri(self._root)}: shards kept vanishing in {ATTEMPTS} attempts")

    def collect(self, keys: pl.Series, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows of ``get`` as one frame."""
        empty = pl.DataFrame(schema={name: self.schema[name] for name in self._names(columns)})
        return pl.concat([empty, *self.get(keys, columns)])

    def drop(self, keys: pl.Series) -> None:
        """Forget rows: every shard that holds one of them is rewritten without it.

        Nobody else may write meanwhile: a merge in progress would bring the rows back.
        """
        wanted = keys.unique().alias(KEY).to_frame()
        for shard in self._locate(wanted)["shard"].unique():
            kept = self._read(shard, self._names(None)).join(
                wanted, on=KEY, how="anti", maintain_order="left"
            )
            if kept.height:
                self.commit(kept)
            self._delete([shard])

    def maintain(self) -> None:
        """Merge small shards and renew the index, when there is enough to do. Cheap otherwise."""
        for with_index in (True, False):
            try:
                self._maintain(with_index=with_index)
                return
            except (ObjectNotFound, ObjectDamaged):
                # Another process is at it, or the index is damaged: once more from the shards
                # themselves. Where that fails, too, the other process does the work.
                self._forget()

    # -- shards -------------------------------------------------------------------------

    def _shard_path(self, shard: str) -> str:
        return f"{self._root}/shards/{shard}.parquet"

    def _names(self, columns: Sequence[str] | None) -> tuple[str, ...]:
        return (KEY, *[name for name in (self.schema.names() if columns is None else columns) if name != KEY])

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

    def _maintain(self, *, with_index: bool) -> None:
        self._load(with_index=with_index)
        assert self._keys is not None
        small = [shard for shard, keys in self._keys.items() if keys.len() < SMALL_ROWS]
        if len(small) >= SMALL_SHARDS:
            self._merge(small)
        if len(self._keys) >= UNINDEXED_SHARDS:
            self._reindex()

    def _merge(self, shards: list[str]) -> None:
        parts: dict[str, pl.DataFrame] = {}

        def flush() -> None:
            rows = pl.concat(parts.values()).unique(KEY, keep="first", maintain_order=True)
            self.commit(rows)
            # A shard that held all rows of the others is the merged one.
            self._delete([shard for shard in parts if shard != _shard_of(rows)])
            parts.clear()

        for shard in shards:
            rows = self._read(shard, self._names(None))
            if parts and sum(part.height for part in parts.values()) + rows.height > MERGED_ROWS:
                flush()
            parts[shard] = rows
        if len(parts) > 1:
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
        for attempt in range(ATTEMPTS):
            if self._keys is not None:
                return
            present = {
                info.path.rsplit("/", 1)[1].removesuffix(".parquet")
                for info in self._objects.list(f"{self._root}/shards")
            }
            index = self._read_index() if with_index else {}
            covered = set(index.get("shards", []))
            self._buckets = index.get("buckets", [])
            self._indexed = sorted(covered & present)
            try:
                self._keys = self._read_keys(sorted(present - covered))
            except ObjectNotFound:  # merged into another shard since it was listed
                if attempt == ATTEMPTS - 1:
                    raise

    def _read_keys(self, shards: list[str]) -> dict[str, pl.Series]:
        with ThreadPoolExecutor(READERS) as pool:  # an object store answers in tens of milliseconds
            frames = pool.map(
                lambda shard: read_parquet(self._objects, self._shard_path(shard), (KEY,)), shards
            )
            return {shard: frame[KEY] for shard, frame in zip(shards, frames, strict=True)}

    def _read_index(self) -> dict[str, list[str]]:
        try:
            found: dict[str, list[str]] = json.loads(self._objects.find(f"{self._root}/index.json") or b"{}")
        except ValueError:
            return {}  # damaged is as good as lost
        return found

    def _locate(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """(key, shard) of the wanted keys that are present; a key that was written twice has two rows."""
        try:
            return self._look_up(wanted)
        except (ObjectNotFound, ObjectDamaged):
            self._forget()  # another process renewed the index or merged shards
        try:
            return self._look_up(wanted)
        except (ObjectNotFound, ObjectDamaged):
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
        return pl.concat(found)

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
            entries = entries.unique().sort(KEY, "shard")
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
    """Some columns of a stored Parquet file. The seam to Polars' reader.

    Raises:
        ObjectNotFound: there is none.
        ObjectDamaged: it is not whole.
        StoreUnavailable: the store did not answer.
    """
    uri = objects.uri(path)
    try:
        return (
            pl.scan_parquet(uri, storage_options=objects.storage_options or None, glob=False)
            .select(columns)
            .collect()
        )
    except FileNotFoundError as error:
        raise ObjectNotFound(f"{uri}: no such object") from error
    except OSError as error:
        raise StoreUnavailable(f"could not read {uri}: {redacted(str(error).splitlines()[0])}") from error
    except pl.exceptions.ComputeError as error:
        raise _damaged(objects, path, str(error).splitlines()[0]) from error


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
    if path.startswith("corpora/"):  # the only record of what was: others point to it by number
        name = path.split("/")[1]
        advice = (
            f"put it back from a backup, or delete corpora/{name}/ and index/{name}.lance/ together and run: "
            "all is built anew without embedding, and the history starts anew"
        )
    return ObjectDamaged(f"{objects.uri(path)} is damaged: {found}; {advice}")


def _shard_of(rows: pl.DataFrame) -> str:
    return digest(*rows[KEY])


def _bucket_of(key: pl.Expr) -> pl.Expr:
    return key.str.slice(0, 2).str.to_integer(base=16, dtype=pl.Int64) % INDEX_BUCKETS
