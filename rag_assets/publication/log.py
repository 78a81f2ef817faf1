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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from rag_assets.errors import NotPublished, PublicationConflict
from rag_assets.index.base import Base
from rag_assets.index.candidate import CHANGES
from rag_assets.index.lance_files import FOLDER, TagFile, read_tag_files
from rag_assets.index.table import IndexUnavailable, drop_tag, tags_at, translated
from rag_assets.publication.record import RECORD, Publication, remade
from rag_assets.store.files import ObjectDamaged, json_bytes, parquet_bytes, read_parquet, read_record, warn
from rag_assets.store.objects import ObjectLost, ObjectNotFound, ObjectStore

if TYPE_CHECKING:
    from lance.dataset import Tags

PUBLISHED = "published"
LONGEST_CLAIM = 3600.0  # seconds from the beginning of a flush to the tag that follows it
HOLD_PREFIX = "hold-"
MOVES = 12  # attempts to move the tag ``published`` while other publishers move it, too
MOVING_SECONDS = 30.0
LOOKS = 3  # at a difference, before it is reported: a publisher may be moving the tag in this moment
_TAG = re.compile(r"^pub-(\d{8})$")
_RECORD_NAME = re.compile(r"/publications/(?:claims/)?(\d{8})-(\d{10})(?:\.json$|/)")


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
        """Lance version of each retained publication, by number; of damaged tags, as their records tell it."""
        return self._tagged()[0]

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

    def mend_records(self) -> None:
        """Write the records of the retained publications anew that are damaged, as far as the store still tells them."""
        for number, version in self.versions().items():
            self._enter(number, version)

    def _look(self) -> PublishedTag | None:
        versions, published = self._tagged()
        return PublishedTag(max(versions), versions[max(versions)], published) if versions else None

    def _tagged(self) -> tuple[dict[int, int], int | None]:
        """Lance versions by number of the publication, and that of the tag ``published``."""
        files = read_tag_files(self._objects, self._corpus)
        published = files.get(PUBLISHED)
        found: dict[int, int] = {}
        for name, file in files.items():
            match = _TAG.match(name)
            if match is None:
                continue
            version = (
                file.version if isinstance(file, TagFile) else self._version_on_record(int(match[1]), file)
            )
            if version is not None:
                found[int(match[1])] = version
        return found, published.version if isinstance(published, TagFile) else None

    def _version_on_record(self, number: int, error: ObjectDamaged) -> int | None:
        """The Lance version of a publication whose tag is damaged; None where the records name several or none."""
        names = (_RECORD_NAME.search(info.path) for info in self._objects.list(self._root))
        versions = {int(name[2]) for name in names if name and int(name[1]) == number}
        known = versions.pop() if len(versions) == 1 else None
        warn(f"{error}; " + ("it cannot be read until then" if known is None else f"it is version {known}"))
        return known

    def _settle(self) -> None:
        """Move the tag unless it is where it belongs. Raises PublicationConflict after a move, to look again."""
        tag = self._look()
        if tag is None or tag.found == tag.belongs:
            return
        _point(tags_at(self._objects, self._corpus, tag.belongs), tag.belongs, exists=tag.found is not None)
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

    def bases(self) -> Iterator[Base]:
        """What is retained, newest first, as far as what is compared with it needs to know."""
        return (self.find(number).base for number in sorted(self.versions(), reverse=True))

    def before(self, version: int) -> Publication | None:
        """The newest retained publication of another Lance version: what a version is compared with."""
        others = [number for number, found in self.versions().items() if found != version]
        return self.find(max(others)) if others else None

    def history(self) -> list[Publication]:
        """All publications that were ever claimed and are on record, oldest first."""
        versions = self.versions()
        found: dict[int, Publication] = {}
        names = (_RECORD_NAME.search(info.path) for info in self._objects.list(self._root))
        for number, version in {*versions.items(), *((int(name[1]), int(name[2])) for name in names if name)}:
            # Beyond the retained ones only winners' records are left; see ``drop``.
            if versions and (versions.get(number) == version or number < min(versions)):
                with suppress(ObjectLost):  # of one that is not retained: nothing else tells of it
                    found[number] = self._read(number, version)
        return [found[number] for number in sorted(found)]

    def lost_head(self) -> Publication | None:
        """What readers saw last, by its record, where the index was lost with every tag; None where a tag is left."""
        if self.versions():
            return None
        names = (_RECORD_NAME.search(info.path) for info in self._objects.list(self._root))
        for number, version in sorted(((int(name[1]), int(name[2])) for name in names if name), reverse=True):
            with suppress(ObjectLost):
                return read_record(self._objects, self._path(number, version, "json"), RECORD)
        return None

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
        tag = f"{HOLD_PREFIX}{uuid.uuid4().hex}"
        try:
            with translated(f"protect publication {publication.number}"):
                tags_at(self._objects, self._corpus, publication.version).create(tag, publication.version)
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
        tags = tags_at(self._objects, self._corpus, publication.version)
        publication = replace(publication, time=datetime.now(UTC).isoformat(timespec="seconds"))
        record = json_bytes(asdict(publication))
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
            tags.create(publication.tag, publication.version)
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
        """Write the record of a publication where its publisher was killed before it did, or where it is damaged."""
        path = self._path(number, version, "json")
        try:
            read_record(self._objects, path, RECORD)
        except ObjectLost:
            self._objects.put(path, json_bytes(asdict(self._read(number, version))))

    def _read(self, number: int, version: int) -> Publication:
        """A publication by its record, by the claim that won, or by what else the store knows of its version."""
        path = self._path(number, version, "json")
        try:
            return read_record(self._objects, path, RECORD)
        except ObjectLost as error:
            claim = self._newest_claim(number, version)
            if claim is not None:
                with suppress(ObjectLost):
                    return read_record(self._objects, claim, RECORD)
            warn(f"{error}. Until then, what is known of its version counts")
        versions = self.versions()
        if versions.get(number) != version:
            raise ObjectNotFound(
                f"{self._corpus}: publication {number} is not retained, and its record is lost"
            )
        earlier = [other for other, found in versions.items() if found == version and other < number]
        return remade(
            self._objects,
            self._corpus,
            number,
            version,
            self._read(max(earlier), version) if earlier else None,
            self._read(number - 1, versions[number - 1]) if number - 1 in versions and earlier else None,
        )


def _candidate(record: bytes) -> str | None:
    """The candidate that a record names; None when it is damaged."""
    try:
        found = json.loads(record)
    except ValueError:
        return None
    return found.get("candidate") if isinstance(found, dict) else None


def _point(tags: Tags, version: int, *, exists: bool) -> None:
    with translated(f"move the tag {PUBLISHED}"):
        if not exists:
            try:
                tags.create(PUBLISHED, version)
                return
            except (RuntimeError, ValueError, OSError) as error:
                if "already exists" not in str(error):  # another publisher made it
                    raise
        tags.update(PUBLISHED, version)
