"""The publication log: numbered, append-only, claimed by whoever creates the next tag first.

Publication *n* **is** the Lance tag ``pub-<n>``; LanceDB creates a tag only if it is absent, so
one of many publishers wins. Each writes what it claims before its claim, under a name of its own; only
the winner's becomes the record, whose name is number and version. A crash in between leaves the claim,
from which the record is made.

The tag ``published`` follows. LanceDB moves a tag without a condition, so every publisher looks again
after it moved the tag; a publisher that is killed before leaves this to the next run.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import TypeAdapter
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from rag_assets.errors import NotPublished, PublicationConflict
from rag_assets.index.candidate import CHANGES, Spec
from rag_assets.index.lance_files import FOLDER, read_tags
from rag_assets.index.table import IndexUnavailable, drop_tag, open_table, translated
from rag_assets.store.files import parquet_bytes, read_parquet, read_record
from rag_assets.store.objects import ObjectLost, ObjectStore

if TYPE_CHECKING:
    from lancedb.table import LanceTable

PUBLISHED = "published"
LONGEST_CLAIM = 3600.0  # seconds from the beginning of a flush to the tag that follows it
HOLD_PREFIX = "hold-"
MOVES = 12  # attempts to move the tag ``published`` while other publishers move it, too
MOVING_SECONDS = 30.0
LOOKS = 3  # at a difference, before it is reported: a publisher may be moving the tag in this moment
_TAG = re.compile(r"^pub-(\d{8})$")
_RECORD_NAME = re.compile(r"/publications/(?:claims/)?(\d{8})-(\d{10})(?:\.json$|/)")


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


@dataclass(frozen=True)
class PublishedTag:
    """Where the tag ``published`` is, and where it belongs.

    Attributes:
        publication: number of the newest publication.
        belongs: Lance version of the newest publication.
        found: Lance version that the tag names; None when there is no such tag.
    """

    publication: int
    belongs: int
    found: int | None

    @property
    def problem(self) -> str | None:
        """What LanceDB clients without this package see instead of the newest publication, or None."""
        if self.found == self.belongs:
            return None
        seen = "is missing" if self.found is None else f"is at version {self.found}"
        return (
            f"the tag {PUBLISHED!r} {seen}, but publication {self.publication} is version {self.belongs}: LanceDB "
            "clients that follow the tag do not see what is published; the next run moves the tag"
        )


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

    def published_tag(self) -> PublishedTag | None:
        """Where the tag ``published`` is; None before the first publication. Looks again at a difference."""
        looks = Retrying(
            stop=stop_after_attempt(LOOKS),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            retry=retry_if_result(lambda tag: tag is not None and tag.problem is not None),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        found: PublishedTag | None = looks(self._look)
        return found

    def repair(self) -> None:
        """Finish the newest publication: its record, and the tag ``published``, looked at again until it is there.

        The look comes last: a publisher that was slow may have undone a faster one's move, and then
        sees that. So once every publisher has returned, the tag is at the newest publication.

        Raises:
            PublicationConflict: other publishers kept moving the tag; nothing is lost, run again.
            IndexUnavailable: LanceDB could not move it.
        """
        attempts = Retrying(
            stop=stop_after_attempt(MOVES) | stop_after_delay(MOVING_SECONDS),
            wait=wait_random_exponential(multiplier=0.01, max=0.5),
            retry=retry_if_exception_type((PublicationConflict, IndexUnavailable)),
            reraise=True,
        )
        versions = self.versions()
        if versions:
            self._enter(max(versions), versions[max(versions)])
        attempts(self._settle)

    def _look(self) -> PublishedTag | None:
        tags = read_tags(self._objects, self._corpus)
        versions = _numbered(tags)
        if not versions:
            return None
        return PublishedTag(max(versions), versions[max(versions)], tags.get(PUBLISHED))

    def _settle(self) -> None:
        """Move the tag unless it is where it belongs. Raises PublicationConflict after a move, to look again."""
        tag = self._look()
        if tag is None or tag.found == tag.belongs:
            return
        table = open_table(self._objects, self._corpus)
        assert table is not None, "a tag implies a table"
        _point(table, tag.belongs, exists=tag.found is not None)
        raise PublicationConflict(
            f"{self._corpus}: publication {tag.publication} is what readers see, but other publishers kept moving the "
            f"tag {PUBLISHED!r}; run again to move it"
        )

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
        names = (_RECORD_NAME.search(info.path) for info in self._objects.list(self._root))
        for number, version in {(int(name[1]), int(name[2])) for name in names if name}:
            # Beyond the retained ones only winners' records are left; see ``drop``.
            if versions and (versions.get(number) == version or number < min(versions)):
                found[number] = self._read(number, version)
        return [found[number] for number in sorted(found)]

    def changes(self, publication: Publication) -> pl.DataFrame:
        """document_id and change (added, changed, removed) against the previous publication."""
        return read_parquet(
            self._objects,
            self._path(publication.number, publication.version, "parquet"),
            CHANGES,
        )

    @contextmanager
    def holding(self, publication: Publication) -> Iterator[None]:
        """Protect the version of a retained publication while it is claimed once more.

        Retention may drop the publication and delete its version at the same time. The tag that is made
        here is seen by every retention that drops the publication after it was found retained.

        Raises:
            NotPublished: the publication is not retained any more.
        """
        table = open_table(self._objects, self._corpus)
        assert table is not None, "a publication implies a table"
        tag = f"{HOLD_PREFIX}{uuid.uuid4().hex}"
        try:
            with translated(f"protect publication {publication.number}"):
                table.tags.create(tag, publication.version)
        except IndexUnavailable:
            self.find(publication.number)
            raise
        try:
            self.find(publication.number)
            yield
        finally:
            drop_tag(self._objects, self._corpus, tag)

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
        record = json.dumps(asdict(publication), indent=2).encode()
        self._forget_lost(publication)
        # Some stores tell times of modification in whole seconds; within one, the name tells the order.
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}.json"
        claim = f"{self._claims(publication.number, publication.version)}/{name}"
        self._objects.put(
            self._path(publication.number, publication.version, "parquet"), parquet_bytes(changes)
        )
        self._objects.put(claim, record)
        self.flush()
        try:
            table.tags.create(publication.tag, publication.version)
        except (RuntimeError, ValueError, OSError) as error:
            if "already exists" in str(error):
                self._objects.delete([claim])
                raise PublicationConflict(
                    f"{self._corpus}: publication {publication.number} was claimed by another run; run again"
                ) from error
            with translated(f"claim {publication.tag}"):
                raise
        self._objects.put(self._path(publication.number, publication.version, "json"), record)
        self.repair()
        self._objects.sync(self._tags, since=self._last_claim())
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
        versions = self.versions()
        for number in numbers:
            if number not in versions:  # another run dropped it meanwhile
                continue
            self._enter(number, versions[number])
            losers = [
                info.path
                for info in self._objects.list(self._root)
                if f"/{number:08d}-" in info.path
                and not info.path.startswith(self._path(number, versions[number], ""))
            ]
            self._objects.delete(losers)
            drop_tag(self._objects, self._corpus, f"pub-{number:08d}")

    def _path(self, number: int, version: int, suffix: str) -> str:
        return f"{self._root}/{number:08d}-{version:010d}.{suffix}"

    def _forget_lost(self, publication: Publication) -> None:
        """Delete the record of another candidate that had this number and version: its table was lost."""
        path = self._path(publication.number, publication.version, "json")
        found = self._objects.find(path)
        if found is not None and _candidate(found) != publication.candidate:
            self._objects.delete([path])

    def _claims(self, number: int, version: int) -> str:
        """The folder of what publishers of a version wrote before they claimed a number."""
        return f"{self._root}/claims/{number:08d}-{version:010d}"

    def _newest_claim(self, number: int, version: int) -> str | None:
        """Path of the claim that won: older ones are of publishers that were killed before their claims."""
        found = list(self._objects.list(self._claims(number, version)))
        return max(found, key=lambda info: (info.modified, info.path)).path if found else None

    def _enter(self, number: int, version: int) -> None:
        """Make the record from the claim that won, where its publisher was killed before it did."""
        path = self._path(number, version, "json")
        if self._objects.find(path) is None:
            claim = self._newest_claim(number, version)
            if claim is not None:
                self._objects.put(path, self._objects.get(claim))

    def _read(self, number: int, version: int) -> Publication:
        try:
            return read_record(self._objects, self._path(number, version, "json"), _RECORD)
        except ObjectLost:  # or its publisher was killed before it wrote the record
            claim = self._newest_claim(number, version)
            if claim is None:
                raise
            return read_record(self._objects, claim, _RECORD)


def _candidate(record: bytes) -> str | None:
    """The candidate that a record names; None when it is damaged."""
    try:
        found = json.loads(record)
    except ValueError:
        return None
    return found.get("candidate") if isinstance(found, dict) else None


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
