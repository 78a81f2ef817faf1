"""Stage: embed the texts that the store does not hold yet.

(key, text, tokens) frames → missing keys → shards of vectors. A text that
the model refuses is found by bisection and kept as a row with a reason instead of a vector;
its neighbours go on.

Run alone: ``embed_missing(embedding_store(objects, embedder), embedder, frames, 2048)``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from threading import Event, Lock, Semaphore
from time import perf_counter

import polars as pl

from rag_assets.errors import EmbeddingFailed, ModelError
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.parity import ParityLog
from rag_assets.store.ahead import ahead, mapped
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore

SCHEMA = pl.Schema(
    {"key": pl.String(), "vector": pl.List(pl.Float32()), "tokens": pl.Int64(), "reason": pl.String()}
)
PROBE = "A short sentence that every model can embed."


class Stopped(Exception):
    """Somebody wanted the work to end."""


@dataclass(slots=True)
class EmbeddingCounts:
    """What one run of the stage did.

    Attributes:
        embedded: texts that got a vector.
        reused: texts that had one.
        poisoned: texts that the model refused.
        tokens: of what was embedded or refused.
        bytes: written.
        warm_tokens, warm_seconds: of the batches after the first one, with which a model is loaded.
    """

    embedded: int = 0
    reused: int = 0
    poisoned: int = 0
    tokens: int = 0
    bytes: int = 0
    warm_tokens: int = 0
    warm_seconds: float = 0.0


def embedding_store(objects: ObjectStore, embedder: Embedder) -> ContentStore:
    """Vectors under an embedder's fingerprint, or that of the one it equals; keyed by the hash of the embedded text."""
    parity = ParityLog(objects).find(embedder.fingerprint)
    fingerprint, about = (
        (embedder.fingerprint, embedder.about) if parity is None else (parity.same_as, parity.about)
    )
    return ContentStore(objects, "embeddings", fingerprint, SCHEMA, about)


def embed_missing(
    store: ContentStore,
    embedder: Embedder,
    frames: Iterable[pl.DataFrame],
    shard_chunks: int,
    advance: Callable[[int], None] = lambda done: None,
    before: Callable[[], None] = lambda: None,
    stop: Event | None = None,
) -> EmbeddingCounts:
    """Embed what is missing and commit a shard every so often.

    While the model computes, the texts of the next shard are looked up and the vectors of the last
    one are written. A model that is asked from afar has another batch at hand while it does so.

    ``store.maintain`` is left to the caller: of many who write into one store, one tidies up.

    Args:
        store: where vectors are kept.
        embedder: the model.
        frames: texts with columns key, text, tokens; keys may repeat.
        shard_chunks: texts that are computed and not yet committed, at most: what a crash can cost.
        advance: told how many texts have been dealt with, reused ones included.
        before: called once before the first text is embedded, and never if none is.
        stop: set by whoever wants it to end, which it then does after the batches that the model has; and set
            here when it ends because something failed, so that who makes the frames need not go on.

    Raises:
        Stopped: it was to end before all was done.
    """
    counts = EmbeddingCounts()
    stop = stop or Event()
    failed: list[BaseException] = []
    workers = min(shard_chunks, embedder.at_once + 1)  # one writes while the others have the model
    size = shard_chunks // workers
    model, disk = Semaphore(embedder.at_once), Lock()

    def batches(steps: Iterable[_Step]) -> Iterator[pl.DataFrame]:
        first = True
        for step in steps:
            if stop.is_set():
                raise failed[0] if failed else Stopped
            counts.reused += step.reused
            advance(step.passed)
            if step.texts.height:
                if first:
                    before()
                    first = False
                yield step.texts

    def make(texts: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        with model:
            if stop.is_set():  # while it waited for its turn
                raise failed[0] if failed else Stopped
            try:
                rows = _embed(embedder, texts)
            except BaseException as error:
                failed.append(error)
                stop.set()
                raise
        with disk:
            return rows.drop("vector"), store.commit(rows)

    with ExitStack() as threads:
        steps = threads.enter_context(closing(ahead(_steps(store, frames, size, workers))))
        made = threads.enter_context(closing(mapped(make, batches(steps), workers)))
        warm = None
        threads.callback(stop.set)  # before they are waited for
        for rows, written in made:
            tokens = int(rows["tokens"].sum())
            if warm is None:
                warm = perf_counter()
            else:
                counts.warm_tokens += tokens
                counts.warm_seconds = perf_counter() - warm
            poisoned = rows["reason"].count()
            counts.embedded += rows.height - poisoned
            counts.poisoned += poisoned
            counts.tokens += tokens
            counts.bytes += written
            advance(rows.height)
    return counts


@dataclass(frozen=True)
class _Step:
    """What the look-up of one frame gave: a batch to embed, or none yet.

    Attributes:
        texts: key, text, tokens.
        reused: distinct texts whose vectors are there.
        passed: texts of the frame that need nothing, repetitions included.
    """

    texts: pl.DataFrame
    reused: int = 0
    passed: int = 0


def _steps(store: ContentStore, frames: Iterable[pl.DataFrame], size: int, workers: int) -> Iterator[_Step]:
    empty = pl.DataFrame(schema={"key": pl.String, "text": pl.String, "tokens": pl.Int64})
    pending = empty
    # Given out, and perhaps not committed yet: those of the workers, and one looked up ahead.
    given: deque[pl.DataFrame] = deque(maxlen=workers + 1)
    for frame in frames:
        distinct = frame.unique("key", maintain_order=True)
        missing = store.missing(distinct["key"]).to_frame()
        for known in (pending, *given):
            missing = missing.join(known, on="key", how="anti")
        fresh = distinct.join(missing, on="key", how="semi", maintain_order="left")
        yield _Step(empty, distinct.height - fresh.height, frame.height - fresh.height)
        pending = pl.concat([pending, fresh.select(pending.columns)])
        while pending.height >= size:
            given.append(pending.head(size))
            yield _Step(given[-1])
            pending = pending.slice(size)
    if pending.height:
        yield _Step(pending)


def _embed(embedder: Embedder, texts: pl.DataFrame) -> pl.DataFrame:
    """Rows of the store for these texts; a failing batch is halved until the poison text is alone."""
    try:
        vectors = embedder.embed(texts["text"].to_list(), texts["tokens"].to_list())
    except EmbeddingFailed as error:
        if texts.height > 1:
            half = texts.height // 2
            return pl.concat([_embed(embedder, texts.head(half)), _embed(embedder, texts.slice(half))])
        _require_working(embedder)
        return texts.select(
            "key",
            pl.lit(None, SCHEMA["vector"]).alias("vector"),
            "tokens",
            pl.lit(str(error)).alias("reason"),
        )
    return texts.select(
        "key",
        pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])).cast(SCHEMA["vector"]),
        "tokens",
        pl.lit(None, pl.String).alias("reason"),
    )


def _require_working(embedder: Embedder) -> None:
    """Tell a poison text from a broken model, which must not quarantine everything."""
    try:
        embedder.embed([PROBE], [10])
    except EmbeddingFailed as error:
        raise ModelError(f"the embedder refuses even a plain sentence: {error}") from error
