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
from rag_assets.evaluation.report.cost import cost_of
from rag_assets.index.stage import spec_of
from rag_assets.index.table import IndexUnavailable, open_table
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.parsing.stage import check_quarantine
from rag_assets.ingest.work import texts_to_embed
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.pipeline.quarantine import quarantined_documents
from rag_assets.pipeline.unpublished import unpublished_documents
from rag_assets.progress import Progress, silent
from rag_assets.publication.verification import damage_of
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectStore
from rag_assets.store.overlay import OverlayStore
from rag_assets.store.snapshots import Snapshot

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        parse: documents that no store holds parsed.
        chunk: texts that no store holds chunked.
        embed: texts that no store holds embedded, and their tokens.
        reuse: texts whose vectors are there.
        embed_seconds: estimate from the throughput that was asked for, or else from the embedder's last measured
            one; None if it never ran.
        embed_cost: of these texts, by the corpus file's prices for the embedder's model; None without a price,
            or where it goes by the hour and the time is not known.
        unpriced: the embedder's model, where there are prices but none for it.
        currency: of the cost.
        vector_bytes: of the new vectors; None before the first publication tells the dimension.
        publish: whether the index would change.
        held: whether a rollback took back what the run would build, so that it is not published again.
        problem: what would stop the run, or None.
        quarantined_documents: the first of them, with document_id, reason and detail.
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
    embed_cost: float | None
    unpriced: str | None
    currency: str
    vector_bytes: int | None
    publish: bool
    held: bool
    problem: str | None
    quarantined_documents: list[dict[str, str]]


def plan(
    objects: ObjectStore,
    corpus: Corpus,
    progress: Progress = silent,
    *,
    tokens_per_second: float | None = None,
) -> Plan:
    """What ``run`` would do now.

    Args:
        objects: the store.
        corpus: the corpus file.
        progress: told how far it has come.
        tokens_per_second: of hardware that one plans for. None: as this embedder was measured last.
    """
    with tempfile.TemporaryDirectory(prefix="rag-assets-plan-") as folder:
        overlay = OverlayStore.over(objects, ObjectStore.open(Path(folder)))
        # Here, and not on a cluster: its machines do not see what only this overlay holds.
        here = corpus.model_copy(update={"engine": "local", "ray": None})
        pipeline = Pipeline(overlay, here, run_id="plan", progress=progress)
        context = pipeline.context
        snapshot, documents, _ = pipeline.documents()
        chunks = pipeline.chunks()
        texts = texts_to_embed(context.chunks, unpublished_documents(context, pipeline.log))
        missing = context.embeddings.missing(texts["key"])
        tokens = int(texts.join(missing.to_frame(), on="key", how="semi")["tokens"].sum())
        # A run over texts without tokens tells no speed.
        speed = tokens_per_second or pipeline.runs.tokens_per_second(context.embedder.fingerprint) or None
        seconds = 0.0 if not tokens else None if speed is None else tokens / speed
        prices, model = corpus.evaluation.prices.models, str(context.embedder.about["model"])
        dimension = _dimension(objects, corpus)
        head = pipeline.log.head()
        spec = spec_of(context, snapshot)
        # What is published is not held, whatever a rollback took back: as ``standing_candidate`` has it.
        changed = head is None or head.spec != spec or damage_of(overlay, corpus.name, head) is not None
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
            embed_seconds=None if seconds is None else round(seconds, 1),
            embed_cost=_cost(context, tokens, seconds),
            unpriced=model if prices and model not in prices else None,
            currency=corpus.evaluation.prices.currency,
            vector_bytes=None if dimension is None else missing.len() * dimension * FLOAT_BYTES,
            publish=changed and not held,
            held=held,
            problem=_problem(context, snapshot),
            quarantined_documents=quarantined_documents(context.snapshots, snapshot),
        )


def _cost(context: IngestContext, tokens: int, seconds: float | None) -> float | None:
    prices, model = context.corpus.evaluation.prices, str(context.embedder.about["model"])
    price = prices.models.get(model)
    if price is None or (price.per_hour and seconds is None):
        return None
    cost = cost_of(prices, "embedding", model, 0, prompt_tokens=tokens, seconds=seconds or 0.0)
    return cost.money


def _dimension(objects: ObjectStore, corpus: Corpus) -> int | None:
    try:
        table = open_table(objects, corpus.name)
    except IndexUnavailable as error:
        warn(str(error))
        return None
    return None if table is None else int(table.schema.field("vector").type.list_size)


def _problem(context: IngestContext, snapshot: Snapshot) -> str | None:
    if snapshot.documents == 0 and snapshot.quarantined == 0:
        return "the sources hold no document"
    try:
        check_quarantine(context.snapshots, snapshot, context.corpus.parsing)
    except QuarantineExceeded as error:
        return str(error)
    return None
