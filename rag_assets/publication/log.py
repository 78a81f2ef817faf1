"""The publication log: numbered, append-only, claimed by whoever creates the next tag first.

Publication *n* **is** the Lance tag ``pub-<n>``; LanceDB creates a tag only if it is absent, so
one of many publishers wins. The record is written before the claim, under a name that holds
number and version: a crash in between leaves a record without a tag, which nobody reads. The
tag ``published`` follows and is repaired by whoever comes next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import TypeAdapter

from rag_assets.errors import NotPublished, PublicationConflict
from rag_assets.index.candidate import CHANGES, Spec
from rag_assets.index.table import FOLDER, open_table, read_tags, translated
from rag_assets.store.files import parquet_bytes, read_parquet, read_record
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from lancedb.table import LanceTable

PUBLISHED = "published"
LONGEST_CLAIM = 3600.0  # seconds from the beginning of a flush to the tag that follows it
_TAG = re.compile(r"^pub-(\d{8})$")
_RECORD_NAME = re.compile(r"/(\d{8})-(\d{10})\.json$")


@dataclass(frozen=True)
class Publication:
    """One entry of the log.

    Attributes:
        number: 1, 2, 3, …
        version: Lance version that readers see.
        candidate: tag under which that version was built; unlike the version, never used again.
        kind: publish, or rollback to an earlier publication's version.
        changes: numbers of added, changed and removed documents against the previous publication.
        metrics: headline metrics of the report, e.g. ``{"recall@5 hybrid": 0.95}``.
        report: path of the evaluation report below the store.
        held: specs that a rollback took back; runs do not publish them again by themselves.
    """

    number: int
    version: int
    candidate: str
    kind: Literal["publish", "rollback"]
    reason: str
    time: str
    by: str
    snapshot: int
    spec: Spec
    documents: int
    chunks: int
    report: str
    changes: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    held: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """The Lance tag that is this publication."""
        return f"pub-{self.number:08d}"


_RECORD = TypeAdapter(Publication)


class PublicationLog:
    """The log of one corpus."""

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._objects = objects
        self._corpus = corpus
        self._root = f"corpora/{corpus}/publications"
        self._tags = f"{FOLDER}/{corpus}.lance/_refs/tags"

    def versions(self) -> dict[int, int]:
        """Lance version of each retained publication, by number."""
        return _numbered(read_tags(self._objects, self._corpus))

    def head(self) -> Publication | None:
        """The newest publication: what readers see. None before the first."""
        versions = self.versions()
        return self._read(max(versions), versions[max(versions)]) if versions else None

    def repair(self) -> None:
        """Point the tag ``published`` at the newest publication, whoever claimed it and was killed then."""
        tags = read_tags(self._objects, self._corpus)
        versions = _numbered(tags)
        if versions and tags.get(PUBLISHED) != versions[max(versions)]:
            table = open_table(self._objects, self._corpus)
            assert table is not None, "a tag implies a table"
            _point(table, versions[max(versions)], exists=PUBLISHED in tags)

    def find(self, number: int) -> Publication:
        """A retained publication. Raises NotPublished naming the retained ones."""
        versions = self.versions()
        if number not in versions:
            kept = f"{min(versions)} to {max(versions)}" if versions else "none"
            raise NotPublished(f"{self._corpus}: publication {number} is not retained; retained: {kept}")
        return self._read(number, versions[number])

    def retained(self) -> list[Publication]:
        """All retained publications, oldest first."""
        versions = self.versions()
        return [self._read(number, versions[number]) for number in sorted(versions)]

    def before(self, version: int) -> Publication | None:
        """The newest retained publication of another Lance version: what a version is compared with."""
        others = [number for number, found in self.versions().items() if found != version]
        return self.find(max(others)) if others else None

    def history(self) -> list[Publication]:
        """All publications that were ever claimed and are on record, oldest first."""
        versions = self.versions()
        found: dict[int, Publication] = {}
        for info in self._objects.list(self._root):
            match = _RECORD_NAME.search(info.path)
            if match is None:
                continue
            number, version = int(match[1]), int(match[2])
            # Beyond the retained ones only winners' records are left; see ``drop``.
            if versions and (versions.get(number) == version or number < min(versions)):
                found[number] = self._read(number, version)
        return [found[number] for number in sorted(found)]

    def changes(self, publication: Publication) -> pl.DataFrame:
        """document_id and change (added, changed, removed) against the previous publication."""
        return read_parquet(self._objects, self._path(publication, "parquet"), CHANGES)

    def claim(self, publication: Publication, changes: pl.DataFrame) -> Publication:
        """Publish: from the moment the tag exists, this is what readers see.

        Args:
            publication: complete but for the time, with the number that follows the head's.
            changes: document_id and change against the head.

        Raises:
            PublicationConflict: another publisher has claimed the number.
        """
        table = open_table(self._objects, self._corpus)
        assert table is not None, "a candidate implies a table"
        publication = replace(publication, time=datetime.now(UTC).isoformat(timespec="seconds"))
        path, record = self._path(publication, "json"), json.dumps(asdict(publication), indent=2).encode()
        self._objects.put(self._path(publication, "parquet"), parquet_bytes(changes))
        # Who publishes the same version at this moment may have won already: its record must stay.
        created = self._objects.create(path, record)
        self.flush()
        try:
            table.tags.create(publication.tag, publication.version)
        except (RuntimeError, ValueError, OSError) as error:
            if "already exists" in str(error):
                raise PublicationConflict(
                    f"{self._corpus}: publication {publication.number} was claimed by another run; run again"
                ) from error
            with translated(f"claim {publication.tag}"):
                raise
        written = [self._tags]
        if not created:  # it is of one who lost this claim, or was killed before it
            self._objects.put(path, record)
            written.append(self._root)
        self.repair()
        self._objects.sync(*written, since=self._last_claim())
        return publication

    def flush(self) -> None:
        """Flush what was written since the last claim to a local disk, by whatever process.

        Call it before anything that must not outlive this: a tag, or an event that counts as applied.
        """
        if self._objects.is_local:
            places = (
                "content",
                f"corpora/{self._corpus}",
                "parity",
                "canaries",
                f"{FOLDER}/{self._corpus}.lance",
            )
            self._objects.sync(*places, since=self._last_claim())

    def _last_claim(self) -> float:
        """A time before the last claim flushed everything; 0 before the first."""
        claims = [
            info.modified.timestamp() for info in self._objects.list(self._tags) if "/pub-" in info.path
        ]
        return max(claims) - LONGEST_CLAIM if claims else 0.0

    def drop(self, numbers: list[int]) -> None:
        """Let old publications go: their versions are no longer protected; their records stay."""
        table = open_table(self._objects, self._corpus)
        versions = self.versions()
        for number in numbers:
            assert table is not None and number in versions
            losers = [
                info.path
                for info in self._objects.list(self._root)
                if info.path.rsplit("/", 1)[1].startswith(f"{number:08d}-")
                and not info.path.rsplit("-", 1)[1].startswith(f"{versions[number]:010d}.")
            ]
            self._objects.delete(losers)
            with translated(f"drop pub-{number:08d}"):
                table.tags.delete(f"pub-{number:08d}")

    def _path(self, publication: Publication, suffix: str) -> str:
        return f"{self._root}/{publication.number:08d}-{publication.version:010d}.{suffix}"

    def _read(self, number: int, version: int) -> Publication:
        return read_record(self._objects, f"{self._root}/{number:08d}-{version:010d}.json", _RECORD)


def _numbered(tags: Mapping[str, int]) -> dict[int, int]:
    return {int(match[1]): version for name, version in tags.items() if (match := _TAG.match(name))}


def _point(table: LanceTable, version: int, *, exists: bool) -> None:
    with translated(f"move the tag {PUBLISHED}"):
        if not exists:
            try:
                table.tags.create(PUBLISHED, version)
                return
            except (RuntimeError, ValueError, OSError) as error:
                if "already exists" not in str(error):  # another publisher made it
                    raise
        table.tags.update(PUBLISHED, version)
