"""Snapshots: what a corpus is at one moment, one small row per document.

previous snapshot + changed rows + removed ids → ``commit`` → next snapshot. Snapshots are
immutable and numbered. Rows lie in buckets by a hash of the document id, and bucket files
are named by their content: an update rewrites only the buckets it touches, and a
comparison of two snapshots reads only the buckets in which they differ.

The digest covers what readers can see (ids, text, metadata, status), not when or how it was
read. It is the data version that Dagster shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl
from blake3 import blake3
from pydantic import TypeAdapter

from rag_assets.errors import SnapshotConflict
from rag_assets.store.digest import digest
from rag_assets.store.files import ObjectDamaged, numbered, parquet_bytes, read_parquet, read_record, warn
from rag_assets.store.objects import ObjectLost, ObjectStore

ROWS_PER_BUCKET = 1024
MAX_BUCKETS = 4096

OK = "ok"
QUARANTINED = "quarantined"

SCHEMA = pl.Schema(
    {
        "document_id": pl.String(),
        "source": pl.String(),  # prefix of the source that lists it
        "uri": pl.String(),
        "version": pl.String(),  # source version: mtime and size, or etag
        "format": pl.String(),
        "parser": pl.String(),  # fingerprint of the parser that read it
        "bytes": pl.Int64(),
        "modified": pl.Datetime("us", "UTC"),
        "content_key": pl.String(),  # hash of the raw bytes; null when they were never read
        "text_key": pl.String(),  # hash of the parsed text; null when quarantined
        "title": pl.String(),
        "metadata": pl.String(),  # JSON
        "status": pl.String(),
        "reason": pl.String(),
        "detail": pl.String(),
    }
)
VISIBLE = ("document_id", "uri", "text_key", "title", "metadata", "status", "reason")
READABLE = (*VISIBLE, "format", "content_key")


@dataclass(frozen=True)
class Snapshot:
    """One numbered state of a corpus. ``number`` 0 is the empty one before the first."""

    number: int
    digest: str
    documents: int
    quarantined: int
    buckets: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


_RECORD = TypeAdapter(Snapshot)
EMPTY = Snapshot(0, f"{0:032x}", 0, 0, ())


class SnapshotStore:
    """The snapshots of one corpus."""

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._objects = objects
        self._root = f"corpora/{corpus}/snapshots"

    def latest(self) -> Snapshot:
        """The newest snapshot whose record can be read, or the empty one."""
        for number in sorted(numbered(self._objects, self._root, ".json"), reverse=True):
            try:
                return self.read(number)
            except ObjectLost as error:
                warn(f"{error}. The snapshot before it counts")
        return EMPTY

    def is_latest(self, snapshot: Snapshot) -> bool:
        """Whether no snapshot follows, not even one whose record is damaged."""
        return max(numbered(self._objects, self._root, ".json"), default=0) <= snapshot.number

    def read(self, number: int) -> Snapshot:
        """One snapshot by number. Raises ObjectLost."""
        return EMPTY if number == 0 else read_record(self._objects, self._path(number), _RECORD)

    def find(self, number: int, digest: str) -> Snapshot | None:
        """A snapshot by number and digest; None when its record was lost, or replaced by another one's.

        A number alone does not name a state: where the newest record was lost, the next run gives its
        number to what the sources hold then.
        """
        try:
            found = self.read(number)
        except ObjectLost:
            return None
        return found if found.digest == digest else None

    def rows(self, snapshot: Snapshot, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        """One row per document in the order of ids; ``columns`` of ``SCHEMA``, ``document_id`` among them."""
        return self._read_buckets(snapshot.buckets, columns or tuple(SCHEMA.names()))

    def rows_of(
        self, snapshot: Snapshot, ids: Iterable[str], columns: tuple[str, ...] | None = None
    ) -> pl.DataFrame:
        """Rows of some documents, those that are there; reads only the buckets that may hold them."""
        wanted = pl.Series("document_id", sorted(set(ids)), dtype=pl.String)
        count = max(len(snapshot.buckets), 1)
        slots = set((_slots(wanted) % count).to_list())
        names = tuple(name for slot, name in enumerate(snapshot.buckets) if slot in slots)
        rows = self._read_buckets(names, columns or tuple(SCHEMA.names()))
        return rows.filter(pl.col("document_id").is_in(wanted.implode()))

    def readable(self, snapshot: Snapshot) -> pl.DataFrame:
        """Documents with status ok and the columns (``READABLE``) from which their chunks are found."""
        return _ok(self.rows(snapshot, READABLE))

    def preview(self, snapshot: Snapshot, count: int) -> pl.DataFrame:
        """Some readable documents, from one bucket: showing a few must not read them all."""
        name = next((name for name in snapshot.buckets if not name.endswith("-0-0")), None)
        rows = self._read_buckets((name,) if name else ())
        return _ok(rows).head(count)

    def quarantined(self, snapshot: Snapshot) -> pl.DataFrame:
        """All quarantined documents; buckets without any are not read."""
        names = tuple(name for name in snapshot.buckets if not name.endswith("-0"))
        return self._read_buckets(names).filter(pl.col("status") == QUARANTINED)

    def changed(self, old: Snapshot, new: Snapshot) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Readable documents (status ok) that differ in what readers see.

        Returns:
            rows of ``old`` that are gone or changed, and rows of ``new`` that are new or changed
            (columns ``READABLE``).
        """
        shared = set(old.buckets) & set(new.buckets)
        if len(old.buckets) != len(new.buckets):
            shared = set()
        before, after = (
            _ok(self._read_buckets(tuple(name for name in snapshot.buckets if name not in shared), READABLE))
            for snapshot in (old, new)
        )
        visible = list(VISIBLE)
        return (
            before.join(after, on=visible, how="anti", nulls_equal=True, maintain_order="left"),
            after.join(before, on=visible, how="anti", nulls_equal=True, maintain_order="left"),
        )

    def changes(self, old: Snapshot, new: Snapshot) -> pl.DataFrame:
        """Which readable documents differ: document_id and change (added, changed, removed)."""
        return change_record(*self.changed(old, new))

    def commit(
        self, parent: Snapshot, upserts: pl.DataFrame, removed: pl.Series, facts: Mapping[str, Any]
    ) -> Snapshot:
        """Write the snapshot that follows ``parent``; unchanged input gives back ``parent``.

        Args:
            parent: the latest snapshot.
            upserts: new and changed rows (``SCHEMA``).
            removed: document ids that are gone.
            facts: what else belongs to this state, e.g. the parsing limits in force.

        Raises:
            SnapshotConflict: another writer committed this number first.
        """
        if upserts.is_empty() and removed.is_empty() and dict(parent.facts) == dict(facts):
            return parent
        buckets = _bucket_count(len(parent.buckets), parent.documents + parent.quarantined + upserts.height)
        upserts = upserts.select(SCHEMA.names()).cast(SCHEMA)
        names: list[str] = []
        if buckets == len(parent.buckets):
            touched = _slots(pl.concat([upserts["document_id"], removed.cast(pl.String)])) % buckets
            fresh = upserts.with_columns(slot=_slots(upserts["document_id"]) % buckets)
            stale = set(touched.to_list())
            for bucket, name in enumerate(parent.buckets):
                if bucket in stale:
                    new = fresh.filter(pl.col("slot") == bucket).drop("slot")
                    name = self._write(self._merged(self._read_buckets((name,)), new, removed))
                names.append(name)
        else:
            rows = self._merged(self._read_buckets(parent.buckets), upserts, removed)
            rows = rows.with_columns(slot=_slots(rows["document_id"]) % buckets)
            for bucket in range(buckets):
                names.append(self._write(rows.filter(pl.col("slot") == bucket).drop("slot")))
        parts = [name.split("-") for name in names]
        snapshot = Snapshot(
            number=parent.number + 1,
            digest=f"{sum(int(part[1], 16) for part in parts) % 2**128:032x}",
            documents=sum(int(part[2]) for part in parts),
            quarantined=sum(int(part[3]) for part in parts),
            buckets=tuple(names),
            facts=dict(facts),
        )
        while not self._objects.create(self._path(snapshot.number), json.dumps(asdict(snapshot)).encode()):
            with suppress(ObjectDamaged):
                self.read(snapshot.number)
                raise SnapshotConflict(f"snapshot {snapshot.number} was committed by another run; run again")
            snapshot = replace(snapshot, number=snapshot.number + 1)  # a damaged record has this number
        return snapshot

    def _path(self, number: int) -> str:
        return f"{self._root}/{number:08d}.json"

    def _merged(self, rows: pl.DataFrame, upserts: pl.DataFrame, removed: pl.Series) -> pl.DataFrame:
        gone = pl.concat([upserts["document_id"], removed.cast(pl.String)]).alias("document_id").to_frame()
        return pl.concat([rows.join(gone, on="document_id", how="anti"), upserts]).sort("document_id")

    def _write(self, rows: pl.DataFrame) -> str:
        """Store one bucket. Its name says everything: file digest, content sum, documents, quarantined."""
        # A sum of row hashes does not depend on how rows are spread over buckets.
        lines = rows.select(VISIBLE).write_ndjson().encode().splitlines()
        content = sum(int(blake3(line).hexdigest(length=16), 16) for line in lines) % 2**128
        quarantined = rows.filter(pl.col("status") == QUARANTINED).height
        file = digest(rows.write_ndjson())
        name = f"{file}-{content:032x}-{rows.height - quarantined}-{quarantined}"
        self._objects.put(f"{self._root}/buckets/{name}.parquet", parquet_bytes(rows))
        return name

    def _read_buckets(
        self, names: tuple[str, ...], columns: tuple[str, ...] = tuple(SCHEMA.names())
    ) -> pl.DataFrame:
        """Rows of some buckets in the order of document ids, in which content stores hold what was made of them."""
        frames = [pl.DataFrame(schema={name: SCHEMA[name] for name in columns})]
        for name in names:
            path = f"{self._root}/buckets/{name}.parquet"
            frames.append(read_parquet(self._objects, path, {column: SCHEMA[column] for column in columns}))
        return pl.concat(frames).sort("document_id")


def change_record(gone: pl.DataFrame, come: pl.DataFrame) -> pl.DataFrame:
    """document_id and change (added, changed, removed) of documents that ``SnapshotStore.changed`` found."""
    before, after = gone.select("document_id"), come.select("document_id")
    both = before.join(after, on="document_id", how="semi")
    parts = {
        "added": after.join(both, on="document_id", how="anti"),
        "changed": both,
        "removed": before.join(both, on="document_id", how="anti"),
    }
    return pl.concat(
        [part.sort("document_id").with_columns(change=pl.lit(name)) for name, part in parts.items()]
    )


def _ok(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("status") == OK)


def _bucket_count(current: int, rows: int) -> int:
    """A power of two near rows / ROWS_PER_BUCKET; kept while it is near, since a change rewrites all."""
    if current and current * ROWS_PER_BUCKET / 8 <= rows <= current * ROWS_PER_BUCKET * 2:
        return current
    buckets = 1
    while buckets * ROWS_PER_BUCKET < rows and buckets < MAX_BUCKETS:
        buckets *= 2
    return buckets


def _slots(ids: pl.Series) -> pl.Series:
    return pl.Series(
        "slot",
        [int.from_bytes(blake3(name.encode()).digest(length=4), "big") for name in ids],
        dtype=pl.Int64,
    )
