"""Which targets of the gold questions the candidate holds, and which the published version does.

snapshots and parsed texts of both → ``TargetChanges``. Texts are read only for passages that search finds in one
version and not in the other, or in neither: all of them once, for one read can show that no document holds a passage.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import polars as pl

from rag_assets.evaluation.diagnosis.diagnosis import NOTHING_MISSING, Nowhere
from rag_assets.evaluation.gate.standards import Standards
from rag_assets.evaluation.gate.targets import (
    Holdings,
    LostTarget,
    Presence,
    TargetChanges,
    compare_targets,
)
from rag_assets.evaluation.gold.passages import PassageSearch
from rag_assets.evaluation.gold.words import words
from rag_assets.evaluation.search.measured import Measured
from rag_assets.index.base import Base
from rag_assets.index.candidate import Candidate, snapshot_of
from rag_assets.ingest.parsing.batch import document_store
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import OK, Snapshot, SnapshotStore


@dataclass(frozen=True)
class Targets:
    """What became of the targets of the gold questions.

    Attributes:
        changes: of the targets, against the published version.
        nowhere: passages that no document of the candidate holds.
        removed: rows of the published snapshot (document_id, source, format, metadata) that the lost questions want.
    """

    changes: TargetChanges
    nowhere: Nowhere
    removed: pl.DataFrame | None = None


def targets_of(
    standards: Standards,
    snapshots: SnapshotStore,
    candidate: Candidate,
    measured: Measured,
    published: tuple[Base, Measured | None] | None,
    known: Mapping[tuple[str, str], LostTarget],
    *,
    seen: bool,
) -> Targets:
    """Compare what the candidate holds with what the published version does.

    Args:
        standards: with the gold set, and the store.
        snapshots: of the corpus.
        candidate: what is evaluated.
        measured: the candidate's evaluation.
        published: what is compared with, and its evaluation, if it could be asked; None when there is nothing.
        known: what was lost when that was published.
        seen: whether readers see the candidate already.
    """
    gold, objects = standards.gold, standards.objects
    if gold is None:
        return Targets(TargetChanges(), NOTHING_MISSING)
    wanted = sorted({name for question in gold.questions for name in question.documents})
    snapshot = snapshot_of(snapshots, candidate)
    found = _found(measured, "passage")
    passages = {text for question in gold.questions for text in question.passages}
    missing = _held_by_no_document(objects, snapshots, snapshot, passages - found)
    now = Holdings(_documents(snapshots, snapshot, wanted), missing)
    if published is None:
        changes = compare_targets(gold.questions, now, None, {})
        return Targets(changes, Nowhere(frozenset(), missing))
    base, evaluation = published
    found_before = frozenset[str]() if evaluation is None else _found(evaluation, "passage")
    unseen = missing - found_before  # search met them in neither version
    present: dict[str, Presence]
    try:
        earlier = _snapshot_of(snapshots, base)
        present = _documents(snapshots, earlier, wanted)
        if evaluation is None:
            unseen = _held_by_no_document(objects, snapshots, earlier, missing)
        restored = _held_by_no_document(objects, snapshots, earlier, found & passages - found_before)
        moved = _moved(snapshots, earlier, snapshot, present.keys() - now.documents.keys())
        rows = snapshots.rows_of(earlier, wanted, ("document_id", "source", "format", "metadata"))
    except ObjectLost as error:
        warn(f"{error}; what search found in publication {base.number} counts as what it holds")
        present = dict.fromkeys(frozenset() if evaluation is None else _found(evaluation, "document"), "held")
        restored, moved, rows = frozenset[str](), {}, None
    # What must be erased is not to be restored: the questions on it are stale.
    erased = ErasureLog(objects, standards.corpus.name).erased() - now.documents.keys()
    for name in erased:
        present.pop(name, None)
    known = {key: target for key, target in known.items() if target.text not in erased}
    before = Holdings(present, unseen | restored, base.number)
    if seen:
        before = before.at_most(now)  # readers see it already, and miss nothing that they had
    changes = compare_targets(gold.questions, now, before, moved, known)
    lost = [target.text for one in changes.lost for target in one.targets if target.kind != "passage"]
    return Targets(
        changes,
        Nowhere(missing & found_before, unseen),
        None if rows is None else rows.filter(pl.col("document_id").is_in(lost)),
    )


def _snapshot_of(snapshots: SnapshotStore, base: Base) -> Snapshot:
    """The snapshot of a publication. Raises ObjectLost, also when another one took its number."""
    found = snapshots.find(base.snapshot, base.spec.snapshot)
    if found is None:
        raise ObjectLost(f"the snapshot of publication {base.number} was lost")
    return found


def _documents(snapshots: SnapshotStore, snapshot: Snapshot, wanted: Collection[str]) -> dict[str, Presence]:
    rows = snapshots.rows_of(snapshot, wanted, ("document_id", "status"))
    return {name: "held" if status == OK else "quarantined" for name, status in rows.iter_rows()}


def _found(measured: Measured, kind: str) -> frozenset[str]:
    """Targets of one kind that some search found for some question."""
    target = (
        measured.figures.select(pl.col("targets").explode(empty_as_null=True)).drop_nulls().unnest("targets")
    )
    return frozenset(target.filter(pl.col("rank").is_not_null(), pl.col("kind") == kind)["text"])


def _held_by_no_document(
    objects: ObjectStore, snapshots: SnapshotStore, snapshot: Snapshot, passages: Collection[str]
) -> frozenset[str]:
    """Passages that no readable document of a snapshot holds; none where lost texts leave that open."""
    if not passages:
        return frozenset()
    search = PassageSearch(passages)
    for (format,), part in snapshots.readable(snapshot).group_by(["format"], maintain_order=True):
        keys = part["content_key"].unique()
        read = 0
        for rows in document_store(objects, str(format)).get(keys, ("text",)):
            read += rows.height
            for text in rows["text"]:
                search.look_at(words(text))
            if not search.missing:
                return frozenset()
        if read < keys.len():
            return frozenset()
    return frozenset(search.missing)


def _moved(
    snapshots: SnapshotStore, before: Snapshot, now: Snapshot, removed: Collection[str]
) -> dict[str, str]:
    """Where removed documents seem to be now: where the same text is, or a new document of the same file name."""
    if not removed:
        return {}
    columns = ("document_id", "text_key", "status")
    gone = snapshots.rows_of(before, removed, columns)
    present = snapshots.rows(now, columns).filter(pl.col("status") == OK)
    texts = dict(
        present.drop_nulls("text_key")
        .sort("document_id", descending=True)
        .select("text_key", "document_id")
        .iter_rows()
    )
    known = snapshots.rows(before, ("document_id",))
    fresh = present.join(known, on="document_id", how="anti")["document_id"].sort(descending=True)
    names = {PurePosixPath(name).name: name for name in fresh}
    found = {}
    for name, text_key, _ in gone.iter_rows():
        place = texts.get(text_key) or names.get(PurePosixPath(name).name)
        if place is not None:
            found[name] = place
    return found
