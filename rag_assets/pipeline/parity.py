"""Measure on a corpus's own chunks whether its embedder equals another backend of the same model, and record it."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from rag_assets import corpus as models
from rag_assets.embedding.open import open_embedder
from rag_assets.embedding.parity import Agreement, Parity, ParityLog, measure
from rag_assets.errors import ConfigurationError, StageIncomplete
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.pipeline.work import chunk_frames

TEXTS = 128
EXTREMES = 16  # of them the shortest and the longest: padding and windows show there
SEED = 17


def measure_parity(pipeline: Pipeline, other: models.Embedder) -> Agreement:
    """Compare the corpus's embedder with another one, and record where they agree.

    Args:
        pipeline: of a corpus that has been chunked.
        other: whose vectors the corpus's own are to count as.

    Raises:
        StageIncomplete: there are no chunks yet.
        ConfigurationError: both are the same.
    """
    target = open_embedder(other)
    log = ParityLog(pipeline.objects)
    if target.fingerprint == pipeline.embedder.fingerprint:
        raise ConfigurationError("both are the same embedder: there is nothing to measure")
    sample = _sample(pipeline)
    found = measure(pipeline.embedder, target, sample["text"].to_list(), sample["tokens"].to_list())
    if found.problem is None:
        earlier = log.find(target.fingerprint)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        log.record(
            pipeline.embedder.fingerprint,
            Parity(
                earlier.same_as if earlier else target.fingerprint,
                earlier.about if earlier else target.about,
                earlier.reader if earlier else other.model_dump(mode="json"),
                found,
                now,
            ),
        )
    return found


def _sample(pipeline: Pipeline) -> pl.DataFrame:
    """The corpus's shortest and longest texts, and some drawn at random."""
    documents = pipeline.snapshots.readable(pipeline.snapshots.latest())
    columns = ("embedding_key", "context", "text", "tokens")
    kept = pl.DataFrame()
    for frame in chunk_frames(pipeline, documents, columns):
        frame = frame.select("embedding_key", "tokens", text=pl.col("context") + pl.col("text"))
        drawn = frame.with_columns(rank=pl.col("embedding_key").hash(SEED))
        kept = pl.concat([kept, drawn], how="diagonal").unique("embedding_key").sort("tokens", "rank")
        middle = kept.slice(EXTREMES, max(0, kept.height - 2 * EXTREMES)).sort("rank")
        ends = [kept.head(EXTREMES), kept.slice(max(EXTREMES, kept.height - EXTREMES))]
        kept = pl.concat([*ends, middle.head(TEXTS - 2 * EXTREMES)])
    if kept.is_empty():
        raise StageIncomplete(f"{pipeline.corpus.name}: there are no chunks yet; run the corpus first")
    return kept
