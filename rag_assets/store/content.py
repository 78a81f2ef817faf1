"""Content store: append-only Parquet, keyed by content, one per stage and fingerprint.

keys needed → ``missing`` (anti-join with the keys present) → work → ``commit`` (one shard,
whole or not at all) → ``get``. Shards are never changed, so a crash loses at most the batch
in flight, and a key that is there is never computed again.

Rows stay in the order in which they were written: what was processed together is read
together. Lookup by key goes through an index (``key_index``): shards that it does not cover
are read directly, entries of shards that are gone are ignored, and losing it costs one scan of
the key columns. A damaged shard is set aside: what it held counts as missing, and is computed again where
it is needed.

::

    content/<stage>/<fingerprint>/about.json          what the fingerprint stands for
    content/<stage>/<fingerprint>/shards/<id>.parquet
    content/<stage>/<fingerprint>/index…              see ``key_index``
    content/<stage>/<fingerprint>/damaged/<id>.parquet   set aside; may be deleted
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import polars as pl

from rag_assets.errors import StoreUnavailable
from rag_assets.store.digest import digest
from rag_assets.store.files import ObjectDamaged, json_bytes, parquet_bytes, read_parquet, warn
from rag_assets.store.key_index import ENTRIES, KEY, KeyIndex
from rag_assets.store.objects import ObjectLost, ObjectNotFound, ObjectStore

UNINDEXED_SHARDS = 64  # shards beyond the index before it is rewritten
SMALL_SHARDS = 32  # small shards before they are merged
SMALL_ROWS = 512  # a shard with fewer rows is small
MERGED_ROWS = 4096  # rows of a merged shard, at most
CACHED_SHARDS = 2
ATTEMPTS = 10  # looks at a store whose shards another process keeps merging
_SHARD = re.compile(r".*/shards/([0-9a-f]{32})\.parquet")
READERS = 8  # concurrent reads: an object store answers in tens of milliseconds


@dataclass
class _Present:
    """What an instance knows of the shards that are there.

    Attributes:
        keys: shards beyond the index, and their keys.
        index: the index.
        indexed: shards that the index covers and that are there.
        entries: (key, shard) of the shards beyond the index, once they were asked for.
    """

    keys: dict[str, pl.Series]
    index: KeyIndex
    indexed: set[str]
    entries: pl.DataFrame | None = None

    def recent(self) -> pl.DataFrame:
        if self.entries is None:
            frames = [
                keys.alias(KEY).to_frame().with_columns(shard=pl.lit(shard))
                for shard, keys in self.keys.items()
            ]
            self.entries = pl.concat([pl.DataFrame(schema=ENTRIES), *frames])
        return self.entries


class ContentStore:
    """Rows of one stage under one fingerprint, addressed by content key.

    Threads may look up and read while one of them commits; maintenance wants to be alone.

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
        self._lock = threading.RLock()  # of what is known: one thread may commit while another one looks up
        self._loaded: _Present | None = None
        self._damaged: set[str] = set()  # shards that are there and cannot be read
        self._shard_cache: OrderedDict[tuple[str, tuple[str, ...]], pl.DataFrame] = OrderedDict()

    def missing(self, keys: pl.Series) -> pl.Series:
        """The distinct keys of ``keys`` that the store does not hold, in their order."""
        wanted = keys.unique(maintain_order=True).alias(KEY).to_frame()
        return wanted.join(self._locate(wanted), on=KEY, how="anti", maintain_order="left")[KEY]

    def commit(self, rows: pl.DataFrame) -> int:
        """Write rows as one shard. The same rows written twice are one shard. Returns its bytes."""
        with self._lock:
            present = self._load()
        if not present.keys and not present.indexed:
            self._objects.put(f"{self._root}/about.json", json_bytes(self._about))
        rows = rows.select(self.schema.names()).cast(self.schema)
        data = parquet_bytes(rows)
        shard = _shard_of(rows)
        self._objects.put(self._shard_path(shard), data)
        with self._lock:
            self._damaged.discard(shard)
            present = self._load()  # perhaps another one by now
            present.keys[shard] = rows[KEY]
            present.entries = None
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
                except ObjectDamaged as error:
                    self._set_aside(str(shard), error)
                    vanished.append(part)  # perhaps another shard holds them, too
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

    def scan(self) -> Iterator[pl.DataFrame]:
        """All rows, shard by shard; a key that was written twice comes twice. Nobody may tidy up meanwhile."""
        with self._lock:
            present = self._load()
            shards = sorted({*present.keys, *present.indexed})
        yield from (rows for _, rows in self._readable(shards))

    def drop(self, keys: pl.Series) -> None:
        """Forget rows: every shard that holds one of them is rewritten without it.

        Nobody else may write meanwhile: a merge in progress would bring the rows back.
        """
        wanted = keys.unique().alias(KEY).to_frame()
        for shard, rows in self._readable(self._locate(wanted)["shard"].unique()):
            kept = rows.join(wanted, on=KEY, how="anti", maintain_order="left")
            if kept.height:
                self.commit(kept)
            self._delete([shard])

    def refresh(self) -> None:
        """Take in what other processes wrote or merged since this instance looked: one listing and the new keys."""
        if self._loaded is None:
            return
        present = self._loaded
        shards = self._listed()
        known = present.keys.keys() | present.indexed
        try:
            fresh = self._read_keys(sorted(shards - known))
        except ObjectNotFound:  # merged since it was listed: look at everything anew when it is needed
            self._forget()
            return
        if fresh or known - shards:
            present.keys = {shard: keys for shard, keys in present.keys.items() if shard in shards} | fresh
            present.indexed &= shards
            present.entries = None

    def maintain(self) -> None:
        """Merge small shards and renew the index, when there is enough to do. Cheap otherwise."""
        for with_index in (True, False):
            try:
                self._maintain(with_index=with_index)
                return
            except ObjectLost:
                # Another process is at it, or the index is damaged: once more from the shards
                # themselves. Where that fails, too, the other process does the work.
                self._forget()

    # -- shards -------------------------------------------------------------------------

    def _shard_path(self, shard: str) -> str:
        return f"{self._root}/shards/{shard}.parquet"

    def _names(self, columns: Sequence[str] | None) -> tuple[str, ...]:
        return (KEY, *[name for name in (self.schema.names() if columns is None else columns) if name != KEY])

    def _read(self, shard: str, columns: tuple[str, ...]) -> pl.DataFrame:
        with self._lock:
            cached = self._shard_cache.get((shard, columns))
            if cached is not None:
                self._shard_cache.move_to_end((shard, columns))
                return cached
        types = {name: self.schema[name] for name in columns}
        frame = read_parquet(self._objects, self._shard_path(shard), types)
        with self._lock:
            self._shard_cache[(shard, columns)] = frame
            if len(self._shard_cache) > CACHED_SHARDS:
                self._shard_cache.popitem(last=False)
        return frame

    def _readable(self, shards: Iterable[str]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Shards with all of their rows; damaged ones are set aside."""
        for shard in shards:
            try:
                yield shard, self._read(shard, self._names(None))
            except ObjectDamaged as error:
                self._set_aside(shard, error)

    def _maintain(self, *, with_index: bool) -> None:
        present = self._load(with_index=with_index)
        small = [shard for shard, keys in present.keys.items() if keys.len() < SMALL_ROWS]
        if len(small) >= SMALL_SHARDS:
            self._merge(small)
        if len(present.keys) >= UNINDEXED_SHARDS:
            present.index.rewrite(present.indexed, present.recent())
            self._forget()

    def _merge(self, shards: list[str]) -> None:
        parts: dict[str, pl.DataFrame] = {}

        def flush() -> None:
            rows = pl.concat(parts.values()).unique(KEY, keep="first", maintain_order=True)
            self.commit(rows)
            # A shard that held all rows of the others is the merged one.
            self._delete([shard for shard in parts if shard != _shard_of(rows)])
            parts.clear()

        for shard, rows in self._readable(shards):
            if parts and sum(part.height for part in parts.values()) + rows.height > MERGED_ROWS:
                flush()
            parts[shard] = rows
        if len(parts) > 1:
            flush()

    def _delete(self, shards: list[str]) -> None:
        present = self._load()
        self._objects.delete(self._shard_path(shard) for shard in shards)
        for shard in shards:
            present.keys.pop(shard, None)
            present.indexed.discard(shard)
        present.entries = None
        self._shard_cache.clear()

    # -- keys ---------------------------------------------------------------------------

    def _forget(self) -> None:
        with self._lock:
            self._loaded = None
            self._shard_cache.clear()

    def _load(self, *, with_index: bool = True) -> _Present:
        attempt = 1
        while self._loaded is None:
            shards = self._listed()
            index = KeyIndex(self._objects, self._root, ignored=not with_index)
            indexed = shards & index.shards
            try:
                self._loaded = _Present(self._read_keys(sorted(shards - indexed)), index, indexed)
            except ObjectNotFound:  # merged into another shard since it was listed
                if attempt == ATTEMPTS:
                    raise
                attempt += 1
        return self._loaded

    def _listed(self) -> set[str]:
        """Shards that are there, without those that are known to be damaged. Other files are left alone."""
        found = (_SHARD.fullmatch(info.path) for info in self._objects.list(f"{self._root}/shards"))
        return {match[1] for match in found if match} - self._damaged

    def _read_keys(self, shards: list[str]) -> dict[str, pl.Series]:
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(shards, pool.map(self._keys_of, shards), strict=True))
        for shard, keys in found.items():
            if isinstance(keys, ObjectDamaged):
                self._set_aside(shard, keys)
        return {shard: keys for shard, keys in found.items() if isinstance(keys, pl.Series)}

    def _keys_of(self, shard: str) -> pl.Series | ObjectDamaged:
        try:
            return read_parquet(self._objects, self._shard_path(shard), {KEY: self.schema[KEY]})[KEY]
        except ObjectDamaged as error:
            return error

    def _set_aside(self, shard: str, error: ObjectDamaged) -> None:
        """Move a damaged shard out of the way, so that no process looks for rows in it any more."""
        warn(str(error))
        with self._lock:
            self._damaged.add(shard)
            if self._loaded is not None:
                self._loaded.keys.pop(shard, None)
                self._loaded.indexed.discard(shard)
                self._loaded.entries = None
            path = self._shard_path(shard)
            with suppress(StoreUnavailable):  # of a store that may only be read
                self._objects.put(f"{self._root}/damaged/{shard}.parquet", self._objects.get(path))
                self._objects.delete([path])
                if self._objects.info(path) is None:
                    self._damaged.discard(shard)

    def _locate(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """(key, shard) of the wanted keys that are present; a key that was written twice has two rows."""
        with self._lock:
            try:
                return self._look_up(wanted)
            except ObjectLost:
                self._forget()  # another process renewed the index or merged shards
            try:
                return self._look_up(wanted)
            except ObjectLost:
                self._forget()  # the index is damaged: the shards themselves are the truth
                self._load(with_index=False)
                return self._look_up(wanted)

    def _look_up(self, wanted: pl.DataFrame) -> pl.DataFrame:
        present = self._load()
        found = [wanted.join(present.recent(), on=KEY, how="inner")]
        if present.indexed:
            alive = pl.DataFrame({"shard": sorted(present.indexed)})
            found.append(present.index.look_up(wanted).join(alive, on="shard", how="semi"))
        return pl.concat(found)


def _shard_of(rows: pl.DataFrame) -> str:
    return digest(*rows[KEY])
