"""A candidate: one table version that may be published, with everything known about it.

Records lie in ``corpora/<name>/candidates/``, written only when the candidate is complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from rag_assets import corpus
from rag_assets.index.schema import VERSION
from rag_assets.store.digest import fingerprint
from rag_assets.store.files import parquet_bytes, read_parquet, read_record, warn
from rag_assets.store.objects import ObjectLost, ObjectNotFound, ObjectStore
from rag_assets.store.snapshots import Snapshot, SnapshotStore

CANDIDATE_PREFIX = "cand-"
"""Of the tags under which candidates are built."""


@dataclass(frozen=True)
class Spec:
    """What an index is made of. Equal specs give equal search results."""

    snapshot: str  # digest of what readers can see of the documents
    chunker: str
    embedder: str
    table: str  # columns, distance and what readers need to search: another value means another table
    text: str  # full-text settings
    vector: str  # vector index settings

    @property
    def digest(self) -> str:
        """Key of the whole specification."""
        return fingerprint(asdict(self))

    def same_rows_as(self, other: Spec) -> bool:
        """Whether a table of one can be brought to the other by changing documents only."""
        return (self.chunker, self.embedder, self.table) == (other.chunker, other.embedder, other.table)


def specify(
    snapshot_digest: str, chunker: str, embedder: str, reader: Mapping[str, Any], index: corpus.Index
) -> Spec:
    """The spec of an index over a snapshot. ``reader``: what the table tells readers, so that they can embed a query."""
    columns = {"version": VERSION, "filters": index.filters, "distance": index.distance}
    return Spec(
        snapshot=snapshot_digest,
        chunker=chunker,
        embedder=embedder,
        table=fingerprint({**columns, "reader": dict(reader)}),
        text=fingerprint(index.text.model_dump(mode="json")),
        vector=fingerprint(index.vector.model_dump(mode="json")),
    )


@dataclass(frozen=True)
class Candidate:
    """One complete table version.

    Attributes:
        version: Lance version. Versions start again when a table is lost: not an identity.
        tag: names exactly this candidate for ever.
        base: publication that it was built on, 0 for none.
        changes: numbers of added, changed and removed documents against the base.
        facts: rows, index types, recall of the approximate index, poisoned chunks, …
    """

    version: int
    base: int
    snapshot: int
    spec: Spec
    documents: int
    chunks: int
    tag: str
    changes: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base_documents(self) -> int:
        """Documents of the publication that it was built on, which need not be retained any more."""
        return self.documents - self.changes.get("added", 0) + self.changes.get("removed", 0)


def snapshot_of(snapshots: SnapshotStore, candidate: Candidate) -> Snapshot:
    """The snapshot that a candidate was built over; the latest one where that was lost or replaced."""
    latest = snapshots.latest()
    if latest.digest == candidate.spec.snapshot:
        return latest
    return snapshots.find(candidate.snapshot, candidate.spec.snapshot) or latest


_RECORD = TypeAdapter(Candidate)
CHANGES = pl.Schema({"document_id": pl.String(), "change": pl.String()})
"""Of the record of what differs for readers: added, changed, removed."""


class CandidateStore:
    """The candidates of one corpus."""

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._objects = objects
        self._root = f"corpora/{corpus}/candidates"

    def write(self, candidate: Candidate, changes: pl.DataFrame) -> None:
        """Record a complete candidate. ``changes``: document_id, change (added, changed, removed)."""
        self._objects.put(self._path(candidate.version, "parquet"), parquet_bytes(changes))
        self._objects.put(
            self._path(candidate.version, "json"), json.dumps(asdict(candidate), indent=2).encode()
        )

    def read(self, version: int) -> Candidate:
        """The candidate of a Lance version. Raises ObjectLost."""
        return read_record(self._objects, self._path(version, "json"), _RECORD)

    def find(self, version: int, tag: str) -> Candidate | None:
        """The candidate of a Lance version and tag; None when its record was lost.

        Versions are given out anew when a table is lost; tags are not.
        """
        try:
            found = self.read(version)
        except ObjectNotFound:
            return None
        except ObjectLost as error:
            warn(str(error))
            return None
        return found if found.tag == tag else None

    def changes(self, version: int) -> pl.DataFrame:
        """Which documents the candidate adds, changes and removes (document_id, change)."""
        return read_parquet(self._objects, self._path(version, "parquet"), CHANGES)

    def newest(self, tags: Mapping[str, int]) -> Candidate | None:
        """The newest candidate that is still in the table, published or not.

        Args:
            tags: Lance version of every tag of the table. Records may be of a table that was lost.
        """
        standing = [(version, tag) for tag, version in tags.items() if tag.startswith(CANDIDATE_PREFIX)]
        found = (self.find(version, tag) for version, tag in sorted(standing, reverse=True))
        return next((candidate for candidate in found if candidate is not None), None)

    def _path(self, version: int, suffix: str) -> str:
        return f"{self._root}/{version:010d}.{suffix}"
