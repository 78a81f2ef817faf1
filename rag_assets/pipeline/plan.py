"""Plan: what a run would do and cost, exactly, without doing it.

The documents and chunks stages run for real over an overlay whose writes are thrown away; the
texts that would be embedded are counted and not embedded.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rag_assets.corpus import Corpus
from rag_assets.errors import QuarantineExceeded
from rag_assets.parsing.stage import check_quarantine
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.pipeline.progress import Progress, silent
from rag_assets.pipeline.work import texts_to_embed
from rag_assets.store.objects import ObjectStore
from rag_assets.store.overlay import OverlayStore
from rag_assets.store.snapshots import Snapshot


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        parse: documents that no store holds parsed.
        chunk: texts that no store holds chunked.
        embed: texts that no store holds embedded, and their tokens.
        reuse: texts whose vectors are there.
        embed_seconds: estimate from the embedder's last measured throughput; None if it never ran.
        publish: whether the index would change.
        held: whether a rollback took back what the run would build, so that it is not published again.
        problem: what would stop the run, or None.
    """

    corpus: str
    new: int
    changed: int
    moved: int
    deleted: int
    quarantined: int
    parse: int
    chunk: int
    embed: int
    embed_tokens: int
    reuse: int
    embed_seconds: float | None
    publish: bool
    held: bool
    problem: str | None


def plan(objects: ObjectStore, corpus: Corpus, progress: Progress = silent) -> Plan:
    """What ``run`` would do now."""
    with tempfile.TemporaryDirectory(prefix="rag-assets-plan-") as folder:
        overlay = OverlayStore.over(objects, ObjectStore.open(Path(folder)))
        # Here, and not on a cluster: its machines do not see what only this overlay holds.
        here = corpus.model_copy(update={"engine": "local", "ray": None})
        pipeline = Pipeline(overlay, here, run_id="plan", progress=progress)
        snapshot, documents, _ = pipeline.documents()
        chunks = pipeline.chunks()
        texts = texts_to_embed(pipeline)
        missing = pipeline.embedding_store.missing(texts["key"])
        tokens = int(texts.join(missing.to_frame(), on="key", how="semi")["tokens"].sum())
        speed = pipeline.runs.tokens_per_second(pipeline.embedder.fingerprint)
        head = pipeline.log.head()
        spec = pipeline.spec(snapshot)
        # What is published is not held, whatever a rollback took back: as ``Pipeline.candidate`` has it.
        changed = head is None or head.spec != spec
        held = changed and head is not None and spec.digest in head.held
        return Plan(
            corpus=corpus.name,
            new=documents.new,
            changed=documents.changed,
            moved=documents.moved,
            deleted=documents.deleted,
            quarantined=snapshot.quarantined,
            parse=documents.parsed,
            chunk=chunks.chunked,
            embed=missing.len(),
            embed_tokens=tokens,
            reuse=texts["key"].n_unique() - missing.len(),
            embed_seconds=None if speed is None else round(tokens / speed, 1),
            publish=changed and not held,
            held=held,
            problem=_problem(pipeline, snapshot),
        )


def _problem(pipeline: Pipeline, snapshot: Snapshot) -> str | None:
    if snapshot.documents == 0 and snapshot.quarantined == 0:
        return "the sources hold no document"
    try:
        check_quarantine(pipeline.snapshots, snapshot, pipeline.corpus.parsing)
    except QuarantineExceeded as error:
        return str(error)
    return None
