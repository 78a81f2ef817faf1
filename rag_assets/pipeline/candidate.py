"""Build a candidate: choose between update and rebuild, verify the result, protect it with a tag."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets.corpus import Ray
from rag_assets.errors import DataError, StageIncomplete, StoreUnavailable
from rag_assets.index import build, bulk
from rag_assets.index.candidate import CANDIDATE_PREFIX, Candidate, CandidateStore, Spec
from rag_assets.index.recall import recall_at_10
from rag_assets.index.schema import table_schema
from rag_assets.index.table import open_table, translated
from rag_assets.index.verify import verify_all, verify_changed, verify_indexes
from rag_assets.pipeline.progress import Progress
from rag_assets.pipeline.work import changed_since
from rag_assets.publication.documents import everything_changed
from rag_assets.publication.record import Publication
from rag_assets.store.snapshots import EMPTY, Snapshot, change_record
from rag_assets.streaming import Job, cluster

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
    anew: bool = False,
) -> Candidate:
    """Build, verify and tag the index over a snapshot.

    Args:
        pipeline: the corpus's stages.
        snapshot: what to index.
        spec: of the index.
        head: what is published, None for nothing.
        progress: told how far it has come.
        anew: take over no row of what is published.

    Raises:
        DataError: no document can be read, so there is nothing to index.
        VerificationFailed: the result is not what the snapshot demands; it is not recorded.
    """
    name, objects = pipeline.corpus.name, pipeline.objects
    snapshots = pipeline.snapshots
    if snapshot.documents == 0:
        raise DataError(f"{name}: the sources hold no readable document; nothing can be indexed")
    changed = None if head is None else changed_since(pipeline, head, snapshot)
    # Where the difference is not known, everything is written anew.
    same_rows = head is not None and changed is not None and spec.same_rows_as(head.spec)
    gone, come = changed or (snapshots.readable(EMPTY), snapshots.readable(snapshot))
    is_update = same_rows and not anew and come.height <= REBUILD_SHARE * snapshot.documents
    changes = change_record(gone, come) if same_rows else _everything(pipeline, snapshot, head)
    progress("candidate", 0, 4)
    if is_update and head is not None:
        table = build.update(objects, name, pipeline.rows, head.version, gone, come)
        trained = int(head.facts.get("trained_rows", 0))
        text_changed = head.spec.text != spec.text
    else:
        come = snapshots.readable(snapshot)
        schema = table_schema(
            pipeline.corpus.index, pipeline.rows.dimension(come), _reader_metadata(pipeline, spec)
        )
        load = _bulk_load(pipeline) if come.height >= BULK_DOCUMENTS else None
        table = build.rebuild(objects, name, pipeline.rows, come, schema, load)
        trained, text_changed = 0, True
    progress("candidate", 1, 4)
    facts = build.build_indexes(table, pipeline.corpus.index, text_changed=text_changed, trained_rows=trained)
    progress("candidate", 2, 4)
    tag = f"{CANDIDATE_PREFIX}{uuid.uuid4().hex}"
    facts |= _recall(table, pipeline)
    with translated("protect the candidate"):
        version = table.version
        table.tags.create(tag, version)
    fresh = open_table(objects, name, at=tag)
    if fresh is None:
        raise StoreUnavailable(f"{name}: the table vanished while it was being built")
    limit = FULL_VERIFY_ROWS if pipeline.full_verify_rows is None else pipeline.full_verify_rows
    if is_update and head is not None and facts["rows"] > limit:
        removed = gone.join(come, on="document_id", how="anti")["document_id"]
        # Of what is gone, the stores may not hold the chunks any more: the published version tells how many they were.
        before = build.count_rows_of(objects, name, head.version, gone["document_id"])
        after = sum(batch.height for batch in pipeline.rows.contents(come, fresh.schema))
        verify_changed(
            fresh, pipeline.rows.contents(come, fresh.schema), removed, head.chunks - before + after
        )
        chunks = head.chunks - before + after
    else:
        every = snapshots.readable(snapshot) if is_update else come
        chunks = verify_all(fresh, pipeline.rows.contents(every, fresh.schema))
    verify_indexes(fresh)
    progress("candidate", 3, 4)
    poisoned = pipeline.rows.poisoned(come)
    kept = _poisoned_before(pipeline, head, gone) if is_update and head is not None else 0
    if kept is None:
        poisoned, kept = pipeline.rows.poisoned(snapshots.readable(snapshot)), 0
    candidate = Candidate(
        version=version,
        base=head.number if head else 0,
        snapshot=snapshot.number,
        spec=spec,
        documents=snapshot.documents,
        chunks=chunks,
        tag=tag,
        changes=dict(changes.group_by("change").len().iter_rows()),
        facts={
            **facts,
            "poisoned": kept + poisoned.height,
            "poisoned_sample": poisoned.head(5).to_dicts(),
        },
        about={"embedder": dict(pipeline.vectors_about), "spec": asdict(spec)},
    )
    CandidateStore(objects, name).write(candidate, changes)
    progress("candidate", 4, 4)
    return candidate


def _everything(pipeline: Pipeline, snapshot: Snapshot, head: Publication | None) -> pl.DataFrame:
    """The change record where no document is known to read as before."""
    after = pipeline.snapshots.readable(snapshot)["document_id"]
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
    return partial(bulk.load, pipeline.objects, Job.of(pipeline.place), spread)


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
        "embedder": pipeline.reader.model_dump(mode="json"),
        "model": dict(pipeline.vectors_about),
        "chunker": spec.chunker,
    }
