"""Measure on a corpus's own chunks whether its embedder equals another backend of the same model, and record it."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from rag_assets import corpus as models
from rag_assets.errors import ConfigurationError, StageIncomplete
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.canary import check_canary
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.parity import Agreement, Parity, ParityLog, measure
from rag_assets.ingest.embedding.stage import embedding_store
from rag_assets.ingest.work import chunk_frames

TEXTS = 128
EXTREMES = 16  # of them the shortest and the longest: padding and windows show there
SEED = 17


def measure_parity(context: IngestContext, other: models.Embedder) -> Agreement:
    """Compare the corpus's embedder with another one, and record where they agree.

    What was embedded under the corpus's own fingerprint is copied to the other one's first: nothing
    that was ever embedded is embedded again.

    Args:
        context: of a corpus that has been chunked.
        other: whose vectors the corpus's own are to count as.

    Raises:
        StageIncomplete: there are no chunks yet.
        ConfigurationError: both are the same, or one of them counts as another already.
    """
    own, target = context.embedder, open_embedder(other)
    log = ParityLog(context.objects)
    if target.fingerprint == own.fingerprint:
        raise ConfigurationError(
            "both are the same embedder: nothing to measure. Change embedder in the corpus file first, and then compare "
            "it with the one before"
        )
    known = log.find(own.fingerprint)
    if known is not None:
        raise ConfigurationError(
            f"vectors of this embedder count as those of {known.backend} in {known.about['precision']} since "
            f"{known.measured}: delete {log.uri(own.fingerprint)} to measure it anew"
        )
    if _canonical(log, target) == own.fingerprint:
        raise ConfigurationError(
            "vectors of the other embedder count as this one's already: nothing to measure"
        )
    sample = _sample(context)
    check_canary(context.objects, own)
    found = measure(own, target, sample["text"].to_list(), sample["tokens"].to_list())
    if found.problem is None:
        before = embedding_store(context.objects, own)
        after = embedding_store(context.objects, target)
        for rows in before.scan():
            vectors = rows.filter(pl.col("vector").is_not_null())
            fresh = after.missing(vectors["key"])
            if fresh.len():
                after.commit(vectors.filter(pl.col("key").is_in(fresh.implode())))
        after.maintain()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        log.record(own.fingerprint, Parity(target.fingerprint, target.about, other.type, found, now))
    return found


def _canonical(log: ParityLog, embedder: Embedder) -> str:
    known = log.find(embedder.fingerprint)
    return embedder.fingerprint if known is None else known.same_as


def _sample(context: IngestContext) -> pl.DataFrame:
    """The corpus's shortest and longest texts, and some drawn at random."""
    documents = context.snapshots.readable(context.snapshots.latest())
    columns = ("embedding_key", "context", "text", "tokens")
    kept = pl.DataFrame()
    for frame in chunk_frames(context.chunks, documents, columns):
        frame = frame.select("embedding_key", "tokens", text=pl.col("context") + pl.col("text"))
        drawn = frame.with_columns(rank=pl.col("embedding_key").hash(SEED))
        kept = pl.concat([kept, drawn], how="diagonal").unique("embedding_key").sort("tokens", "rank")
        middle = kept.slice(EXTREMES, max(0, kept.height - 2 * EXTREMES)).sort("rank")
        ends = [kept.head(EXTREMES), kept.slice(max(EXTREMES, kept.height - EXTREMES))]
        kept = pl.concat([*ends, middle.head(TEXTS - 2 * EXTREMES)])
    if not kept.is_empty():  # a text that the model is known to refuse says nothing of its vectors
        known = context.embeddings.collect(kept["embedding_key"], ("reason",))
        refused = known.filter(pl.col("reason").is_not_null())["key"]
        kept = kept.filter(~pl.col("embedding_key").is_in(refused.implode()))
    if kept.is_empty():
        raise StageIncomplete(f"{context.corpus.name}: there are no chunks yet; run the corpus first")
    return kept
