"""What stands on record about a publication, and what can still be said of one whose record was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import TypeAdapter

from rag_assets.index.base import Base
from rag_assets.index.candidate import CandidateStore, Spec
from rag_assets.index.lance_files import tagged
from rag_assets.store.objects import ObjectLost, ObjectStore

LOST = "the record of this publication was lost"
_UNKNOWN = Spec(snapshot="", chunker="", embedder="", table="", text="", vector="")


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

    @property
    def base(self) -> Base:
        """What is built on it needs to know this much."""
        return Base(
            self.number,
            self.version,
            self.candidate,
            self.snapshot,
            self.spec,
            self.chunks,
            self.report,
            self.facts,
            self.about,
        )


RECORD = TypeAdapter(Publication)


def remade(
    objects: ObjectStore,
    corpus: str,
    number: int,
    version: int,
    earlier: Publication | None,
    before: Publication | None,
) -> Publication:
    """A publication whose record was lost, as far as the rest of the store tells.

    Args:
        objects: the store.
        corpus: name of the corpus.
        number: of the publication.
        version: its Lance version, which its tag tells.
        earlier: an earlier publication of the same version: this one was a rollback to it.
        before: the publication before this one, where this one was a rollback.
    """
    claimed = tagged(objects, corpus).get(f"pub-{number:08d}", datetime.now(UTC))
    time = claimed.isoformat(timespec="seconds")
    if earlier is not None:
        held = set(earlier.held) if before is None else {*before.held, before.spec.digest}
        return replace(
            earlier,
            number=number,
            kind="rollback",
            reason=LOST,
            time=time,
            by="",
            changes={},
            held=tuple(sorted(held - {earlier.spec.digest})),
        )
    unknown = Publication(
        number, version, "", "publish", LOST, time, "", 0, _UNKNOWN, documents=0, chunks=0, report=""
    )
    try:
        candidate = CandidateStore(objects, corpus).read(version)
    except ObjectLost:
        return unknown
    return replace(
        unknown,
        candidate=candidate.tag,
        snapshot=candidate.snapshot,
        spec=candidate.spec,
        documents=candidate.documents,
        chunks=candidate.chunks,
        changes=candidate.changes,
        facts=candidate.facts,
        about=candidate.about,
    )
