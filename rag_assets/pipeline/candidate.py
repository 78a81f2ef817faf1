"""Build a candidate: choose between update and rebuild, verify the result, protect it with a tag."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets.corpus import Ray
from rag_assets.errors import DataError, StageIncomplete, StoreUnavailable, VerificationFailed
from rag_assets.index import build, bulk
from rag_assets.index.candidate import CANDIDATE_PREFIX, Candidate, CandidateStore, Spec
from rag_assets.index.data_files import data_files
from rag_assets.index.recall import recall_at_10
from rag_assets.index.schema import table_schema
from rag_assets.index.table import IndexUnavailable, open_table, translated
from rag_assets.index.verify import verify_all, verify_indexes
from rag_assets.ingest.streaming import Job, cluster
from rag_assets.ingest.work import changed_since
from rag_assets.pipeline.carried import FILES, Damage, carried_damage, verify_update
from rag_assets.progress import Progress
from rag_assets.publication.documents import everything_changed
from rag_assets.publication.record import Publication
from rag_assets.store.files import warn
from rag_assets.store.snapshots import Snapshot, change_record

if TYPE_CHECKING:
    from lancedb.table import LanceTable

    from rag_assets.pipeline.pipeline import Pipeline

FULL_VERIFY_ROWS = 200_000  # a larger table is not read as a whole for a small change
BULK_DOCUMENTS = 50_000  # below, a cluster's actors take longer to start than one process takes to write
REBUILD_SHARE = 0.5  # a larger share of changed documents is written faster anew


def build_candidate(
    pipeline: Pipeline,
    snapshot: Snapshot,
    spec: Spec,
    head: Publication | None,
    progress: Progress,
    *,
    damage: Damage | None = None,
) -> Candidate:
    """Build, verify and tag the index over a snapshot.

    Args:
        pipeline: the corpus's stages.
        snapshot: what to index.
        spec: of the index.
        head: what is published, None for nothing.
        progress: told how far it has come.
        damage: what is wrong with ``head``: then no row of it is taken over.

    Raises:
        DataError: no document can be read, so there is nothing to index.
        VerificationFailed: the result is not what the snapshot demands; it is not recorded.
    """
    name, plan = pipeline.corpus.name, _Build(pipeline, snapshot, spec, head, progress)
    if snapshot.documents == 0:
        raise DataError(f"{name}: the sources hold no readable document; nothing can be indexed")
    changed = (
        None
        if head is None
        else changed_since(pipeline.context.snapshots, head.snapshot, head.spec.snapshot, snapshot)
    )
    # Where the difference is not known, everything is written anew.
    if head is None or changed is None or not spec.same_rows_as(head.spec):
        return plan.write_anew(_everything(pipeline, snapshot, head))
    gone, come = changed
    if damage is None:
        if come.height > REBUILD_SHARE * snapshot.documents:
            return plan.write_anew(change_record(gone, come))
        try:
            return plan.update(head, gone, come)
        except StageIncomplete:
            raise
        except (VerificationFailed, IndexUnavailable):
            damage = carried_damage(pipeline, snapshot, head, gone, come)
            if damage is None:
                raise
    warn(f"{name}: publication {head.number} {damage.what}; its index is written anew")
    # Caches may hold what misled readers.
    changes = _everything(pipeline, snapshot, head) if damage.misled else change_record(gone, come)
    return plan.write_anew(changes, {"damage": damage.what})


@dataclass(frozen=True)
class _Build:
    """One build of an index over a snapshot."""

    pipeline: Pipeline
    snapshot: Snapshot
    spec: Spec
    head: Publication | None
    progress: Progress

    def update(self, head: Publication, gone: pl.DataFrame, come: pl.DataFrame) -> Candidate:
        """The published table with the rows of some documents replaced."""
        self.progress("candidate", 0, 4)
        pipeline, name = self.pipeline, self.pipeline.corpus.name
        table = build.update(pipeline.objects, name, pipeline.rows, head.version, gone, come)
        trained = int(head.facts.get("trained_rows", 0))
        fresh, tag, facts = self._indexed(table, head.spec.text != self.spec.text, trained)
        limit = FULL_VERIFY_ROWS if pipeline.full_verify_rows is None else pipeline.full_verify_rows
        chunks = verify_update(pipeline, fresh, self.snapshot, head, gone, come, limit)
        kept = _poisoned_before(pipeline, head, gone)
        refused = pipeline.rows.poisoned(self._every() if kept is None else come)
        facts |= _poison(refused, kept or 0)
        return self._recorded(fresh, tag, chunks, change_record(gone, come), facts)

    def write_anew(self, changes: pl.DataFrame, facts: Mapping[str, Any] | None = None) -> Candidate:
        """A table that takes over nothing of the published one."""
        self.progress("candidate", 0, 4)
        pipeline, every, rows = self.pipeline, self._every(), self.pipeline.rows
        metadata = _reader_metadata(pipeline, self.spec)
        schema = table_schema(pipeline.corpus.index, rows.dimension(every), metadata)
        load = _bulk_load(pipeline) if every.height >= BULK_DOCUMENTS else None
        table = build.rebuild(pipeline.objects, pipeline.corpus.name, rows, every, schema, load)
        fresh, tag, found = self._indexed(table, text_changed=True, trained_rows=0)
        chunks = verify_all(fresh, rows.contents(every, fresh.schema))
        found |= {**(facts or {}), **_poison(rows.poisoned(every), 0)}
        return self._recorded(fresh, tag, chunks, changes, found)

    def _every(self) -> pl.DataFrame:
        return self.pipeline.context.snapshots.readable(self.snapshot)

    def _indexed(
        self, table: LanceTable, text_changed: bool, trained_rows: int
    ) -> tuple[LanceTable, str, dict[str, Any]]:
        """A fresh handle of the table with its indexes, pinned to the tag that protects it; the tag; facts."""
        self.progress("candidate", 1, 4)
        pipeline, name = self.pipeline, self.pipeline.corpus.name
        facts = build.build_indexes(
            table, pipeline.corpus.index, text_changed=text_changed, trained_rows=trained_rows
        )
        self.progress("candidate", 2, 4)
        tag = f"{CANDIDATE_PREFIX}{uuid.uuid4().hex}"
        facts |= _recall(table, pipeline)
        with translated("protect the candidate"):
            table.tags.create(tag, table.version)
        fresh = open_table(pipeline.objects, name, at=tag)
        if fresh is None:
            raise StoreUnavailable(f"{name}: the table vanished while it was being built")
        return fresh, tag, facts

    def _recorded(
        self, table: LanceTable, tag: str, chunks: int, changes: pl.DataFrame, facts: Mapping[str, Any]
    ) -> Candidate:
        """The candidate, when its rows were verified."""
        verify_indexes(table)
        self.progress("candidate", 3, 4)
        pipeline, name = self.pipeline, self.pipeline.corpus.name
        files = data_files(pipeline.objects, name, table)
        candidate = Candidate(
            version=table.version,
            base=self.head.number if self.head else 0,
            snapshot=self.snapshot.number,
            spec=self.spec,
            documents=self.snapshot.documents,
            chunks=chunks,
            tag=tag,
            changes=dict(changes.group_by("change").len().iter_rows()),
            facts=facts,
            about={
                "embedder": dict(pipeline.context.vectors_about),
                "spec": asdict(self.spec),
                FILES: {file: mark for marks in files.values() for file, mark in marks.items()},
            },
        )
        CandidateStore(pipeline.objects, name).write(candidate, changes)
        self.progress("candidate", 4, 4)
        return candidate


def _poison(refused: pl.DataFrame, kept: int) -> dict[str, Any]:
    """How many chunks the embedder refused, ``kept`` of unchanged documents among them, and some of the others."""
    return {"poisoned": kept + refused.height, "poisoned_sample": refused.head(5).to_dicts()}


def _everything(pipeline: Pipeline, snapshot: Snapshot, head: Publication | None) -> pl.DataFrame:
    """The change record where no document is known to read as before."""
    after = pipeline.context.snapshots.readable(snapshot)["document_id"]
    if head is None:
        return after.to_frame().with_columns(change=pl.lit("added"))
    return everything_changed(pipeline.objects, pipeline.corpus.name, head, after)


def _poisoned_before(pipeline: Pipeline, head: Publication, gone: pl.DataFrame) -> int | None:
    """Chunks of the unchanged documents that the embedder refused; None where the stores do not tell any more.

    Chunks of a document that was edited or deleted cannot be made again once they were lost.
    """
    counted = head.facts.get("poisoned")
    try:
        return counted - pipeline.rows.poisoned(gone).height if isinstance(counted, int) else None
    except StageIncomplete:
        return None


def _bulk_load(pipeline: Pipeline) -> build.Load | None:
    """Has the rows written by the machines of the corpus's cluster; None without one."""
    corpus = pipeline.corpus
    if corpus.engine != "ray":
        return None
    spread = partial(cluster.spread, corpus.ray or Ray())
    return partial(bulk.load, pipeline.objects, Job.of(pipeline.context), spread)


def _recall(table: LanceTable, pipeline: Pipeline) -> dict[str, Any]:
    """Recall of the vector index; one that fell below the limit is trained anew."""
    recall = recall_at_10(table)
    if recall is not None and recall < pipeline.corpus.index.vector.min_recall:
        build.retrain(table, pipeline.corpus.index)
        return {"vector_recall@10": recall_at_10(table), "trained_rows": table.count_rows()}
    return {"vector_recall@10": recall}


def _reader_metadata(pipeline: Pipeline, spec: Spec) -> dict[str, Any]:
    """What a reader needs to search the table, without the corpus file."""
    return {
        "corpus": pipeline.corpus.name,
        "distance": pipeline.corpus.index.distance,
        "embedder": pipeline.context.reader.model_dump(mode="json"),
        "model": dict(pipeline.context.vectors_about),
        "chunker": spec.chunker,
    }
