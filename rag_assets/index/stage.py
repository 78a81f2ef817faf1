"""Stage: build a candidate. Choose between update and rebuild, verify the result, protect it with a tag.

snapshot (→ what differs from the base) → rows of the stores → a version of the table → indexes → compared with
the stores → record.

Run alone: ``build_candidate(context, snapshot, spec_of(context, snapshot), None, silent)``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets.corpus import Index, Ray
from rag_assets.errors import DataError, StageIncomplete, StoreUnavailable, VerificationFailed
from rag_assets.index import build, bulk
from rag_assets.index.base import Base, Damage
from rag_assets.index.candidate import CANDIDATE_PREFIX, Candidate, CandidateStore, Spec, specify
from rag_assets.index.carried import FILES, carried_damage, verify_update
from rag_assets.index.data_files import data_files
from rag_assets.index.documents import everything_changed
from rag_assets.index.recall import recall_at_10
from rag_assets.index.rows import RowSource
from rag_assets.index.schema import table_schema
from rag_assets.index.table import IndexUnavailable, open_table, translated
from rag_assets.index.verify import verify_all, verify_indexes
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.open import reader_settings
from rag_assets.ingest.streaming import Job, cluster
from rag_assets.ingest.work import changed_since
from rag_assets.progress import Progress
from rag_assets.store.files import warn
from rag_assets.store.snapshots import Snapshot, change_record

if TYPE_CHECKING:
    from lancedb.table import LanceTable

FULL_VERIFY_ROWS = 200_000  # a larger table is not read as a whole for a small change
BULK_DOCUMENTS = 50_000  # below, a cluster's actors take longer to start than one process takes to write
REBUILD_SHARE = 0.5  # a larger share of changed documents is written faster anew


def spec_of(context: IngestContext, snapshot: Snapshot) -> Spec:
    """What the index over a snapshot is made of, under the current corpus file."""
    return specify(
        snapshot.digest,
        context.chunker.fingerprint,
        context.vectors,
        reader_settings(context.reader),
        context.corpus.index,
    )


def build_candidate(
    context: IngestContext,
    snapshot: Snapshot,
    spec: Spec,
    base: Base | None,
    progress: Progress,
    *,
    damage: Damage | None = None,
    full_verify_rows: int | None = None,
) -> Candidate:
    """Build, verify and tag the index over a snapshot.

    Args:
        context: the corpus.
        snapshot: what to index.
        spec: of the index.
        base: what is published, None for nothing.
        progress: told how far it has come.
        damage: what is wrong with ``base``: then no row of it is taken over.
        full_verify_rows: rows up to which every row of an update is compared; None for ``FULL_VERIFY_ROWS``.

    Raises:
        DataError: no document can be read, so there is nothing to index.
        VerificationFailed: the result is not what the snapshot demands; it is not recorded.
    """
    name = context.corpus.name
    limit = FULL_VERIFY_ROWS if full_verify_rows is None else full_verify_rows
    plan = _Build(context, snapshot, spec, base, progress, limit)
    if snapshot.documents == 0:
        raise DataError(f"{name}: the sources hold no readable document; nothing can be indexed")
    changed = None
    if base is not None:
        changed = changed_since(context.snapshots, base.snapshot, base.spec.snapshot, snapshot)
    # Where the difference is not known, everything is written anew.
    if base is None or changed is None or not spec.same_rows_as(base.spec):
        return plan.write_anew(plan.everything())
    gone, come = changed
    if damage is None:
        if come.height > REBUILD_SHARE * snapshot.documents:
            return plan.write_anew(change_record(gone, come))
        try:
            return plan.update(base, gone, come)
        except StageIncomplete:
            raise
        except (VerificationFailed, IndexUnavailable):
            damage = carried_damage(context.objects, name, plan.rows, base, plan.every(), gone, come)
            if damage is None:
                raise
    warn(f"{name}: publication {base.number} {damage.what}; its index is written anew")
    # Caches may hold what misled readers.
    changes = plan.everything() if damage.misled else change_record(gone, come)
    return plan.write_anew(changes, {"damage": damage.what})


@dataclass(frozen=True)
class _Build:
    """One build of an index over a snapshot."""

    context: IngestContext
    snapshot: Snapshot
    spec: Spec
    base: Base | None
    progress: Progress
    full_verify_rows: int

    @cached_property
    def rows(self) -> RowSource:
        """What the stores hold for it."""
        return RowSource.of(self.context)

    def update(self, base: Base, gone: pl.DataFrame, come: pl.DataFrame) -> Candidate:
        """The published table with the rows of some documents replaced."""
        self.progress("candidate", 0, 4)
        objects, name = self.context.objects, self.context.corpus.name
        table = build.update(objects, name, self.rows, base.version, gone, come)
        trained = int(base.facts.get("trained_rows", 0))
        fresh, tag, facts = self._indexed(table, base.spec.text != self.spec.text, trained)
        limit = self.full_verify_rows
        chunks = verify_update(objects, name, self.rows, fresh, base, self.every(), gone, come, limit)
        kept = _poisoned_before(self.rows, base, gone)
        refused = self.rows.poisoned(self.every() if kept is None else come)
        facts |= _poison(refused, kept or 0)
        return self._recorded(fresh, tag, chunks, change_record(gone, come), facts)

    def write_anew(self, changes: pl.DataFrame, facts: Mapping[str, Any] | None = None) -> Candidate:
        """A table that takes over nothing of the published one."""
        self.progress("candidate", 0, 4)
        corpus, every, rows = self.context.corpus, self.every(), self.rows
        metadata = _reader_metadata(self.context, self.spec)
        schema = table_schema(corpus.index, rows.dimension(every), metadata)
        load = _bulk_load(self.context) if every.height >= BULK_DOCUMENTS else None
        table = build.rebuild(self.context.objects, corpus.name, rows, every, schema, load)
        fresh, tag, found = self._indexed(table, text_changed=True, trained_rows=0)
        chunks = verify_all(fresh, rows.contents(every, fresh.schema))
        found |= {**(facts or {}), **_poison(rows.poisoned(every), 0)}
        return self._recorded(fresh, tag, chunks, changes, found)

    def every(self) -> pl.DataFrame:
        """All documents that it is to hold."""
        return self.context.snapshots.readable(self.snapshot)

    def everything(self) -> pl.DataFrame:
        """The change record where no document is known to read as before."""
        after = self.every()["document_id"]
        if self.base is None:
            return after.to_frame().with_columns(change=pl.lit("added"))
        return everything_changed(self.context.objects, self.context.corpus.name, self.base, after)

    def _indexed(
        self, table: LanceTable, text_changed: bool, trained_rows: int
    ) -> tuple[LanceTable, str, dict[str, Any]]:
        """A fresh handle of the table with its indexes, pinned to the tag that protects it; the tag; facts."""
        self.progress("candidate", 1, 4)
        corpus = self.context.corpus
        facts = build.build_indexes(table, corpus.index, text_changed=text_changed, trained_rows=trained_rows)
        self.progress("candidate", 2, 4)
        tag = f"{CANDIDATE_PREFIX}{uuid.uuid4().hex}"
        facts |= _recall(table, corpus.index)
        with translated("protect the candidate"):
            table.tags.create(tag, table.version)
        fresh = open_table(self.context.objects, corpus.name, at=tag)
        if fresh is None:
            raise StoreUnavailable(f"{corpus.name}: the table vanished while it was being built")
        return fresh, tag, facts

    def _recorded(
        self, table: LanceTable, tag: str, chunks: int, changes: pl.DataFrame, facts: Mapping[str, Any]
    ) -> Candidate:
        """The candidate, when its rows were verified."""
        verify_indexes(table)
        self.progress("candidate", 3, 4)
        objects, name = self.context.objects, self.context.corpus.name
        files = data_files(objects, name, table)
        candidate = Candidate(
            version=table.version,
            base=self.base.number if self.base else 0,
            snapshot=self.snapshot.number,
            spec=self.spec,
            documents=self.snapshot.documents,
            chunks=chunks,
            tag=tag,
            changes=dict(changes.group_by("change").len().iter_rows()),
            facts=facts,
            about={
                "embedder": dict(self.context.vectors_about),
                "spec": asdict(self.spec),
                FILES: {file: mark for marks in files.values() for file, mark in marks.items()},
            },
        )
        CandidateStore(objects, name).write(candidate, changes)
        self.progress("candidate", 4, 4)
        return candidate


def _poison(refused: pl.DataFrame, kept: int) -> dict[str, Any]:
    """How many chunks the embedder refused, ``kept`` of unchanged documents among them, and some of the others."""
    return {"poisoned": kept + refused.height, "poisoned_sample": refused.head(5).to_dicts()}


def _poisoned_before(rows: RowSource, base: Base, gone: pl.DataFrame) -> int | None:
    """Chunks of the unchanged documents that the embedder refused; None where the stores do not tell any more.

    Chunks of a document that was edited or deleted cannot be made again once they were lost.
    """
    counted = base.facts.get("poisoned")
    try:
        return counted - rows.poisoned(gone).height if isinstance(counted, int) else None
    except StageIncomplete:
        return None


def _bulk_load(context: IngestContext) -> build.Load | None:
    """Has the rows written by the machines of the corpus's cluster; None without one."""
    if context.corpus.engine != "ray":
        return None
    spread = partial(cluster.spread, context.corpus.ray or Ray())
    return partial(bulk.load, context.objects, Job.of(context), spread)


def _recall(table: LanceTable, settings: Index) -> dict[str, Any]:
    """Recall of the vector index; one that fell below the limit is trained anew."""
    recall = recall_at_10(table)
    if recall is not None and recall < settings.vector.min_recall:
        build.retrain(table, settings)
        return {"vector_recall@10": recall_at_10(table), "trained_rows": table.count_rows()}
    return {"vector_recall@10": recall}


def _reader_metadata(context: IngestContext, spec: Spec) -> dict[str, Any]:
    """What a reader needs to search the table, without the corpus file."""
    return {
        "corpus": context.corpus.name,
        "distance": context.corpus.index.distance,
        "embedder": context.reader.model_dump(mode="json"),
        "model": dict(context.vectors_about),
        "chunker": spec.chunker,
    }
