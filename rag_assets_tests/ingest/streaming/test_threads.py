"""A stream on one machine: the model works while documents are parsed, is not run away from, and stops what it began."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import ModelError
from rag_assets.ingest.streaming import engine, threads
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.store import content
from rag_assets_tests.ingest.streaming.corpora import aged, fill, pipeline, same, workspace, written
from rag_assets_tests.workspace import Workspace, run_stages

BLOCK, BLOCKS = 4, 20
SHARD = 16
SETTINGS: dict[str, Any] = {"embedder": {"type": "static", "shard_chunks": SHARD}, "parsing": {"workers": 1}}


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Many small blocks."""
    monkeypatch.setattr(engine, "BLOCK", BLOCK)
    monkeypatch.setattr(engine, "SMALLEST_BLOCK", BLOCK)
    monkeypatch.setattr(content, "SMALL_SHARDS", 6)
    found = workspace(tmp_path, "stream", **SETTINGS)
    fill(found, BLOCK * BLOCKS)
    aged(found)
    return found


def on_first_batch(stages: Pipeline, act: Callable[[], None]) -> None:
    """Do something in the model's place before it embeds the first batch."""
    embedder: Any = stages.context.embedder
    inner, batches = embedder.embed, iter(range(1_000_000))

    def embed(texts: Any, tokens: Any) -> Any:
        if len(texts) > 1 and next(batches) == 0:
            act()
        return inner(texts, tokens)

    embedder.embed = embed


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def still(number: Callable[[], int]) -> int:
    """The number, when it has stopped to grow."""
    last, since = number(), time.monotonic()
    while time.monotonic() - since < 0.7:
        time.sleep(0.05)
        if number() != last:
            last, since = number(), time.monotonic()
    return last


def test_documents_are_parsed_while_the_model_works_and_not_far_ahead_of_it(corpus: Workspace) -> None:
    stages = pipeline(corpus)
    seen: list[int] = []

    def hold() -> None:
        # The batch that waits here came from the first block: in vain if that one had to be done first.
        until(lambda: written(corpus, "documents") >= 3 * BLOCK)
        seen.append(still(lambda: written(corpus, "documents")))

    on_first_batch(stages, hold)
    run_stages(stages)
    assert seen[0] < BLOCK * BLOCKS / 2
    assert written(corpus, "documents") == BLOCK * BLOCKS
    facts = stages.runs.last()["stages"]
    made = facts["documents"]["ahead"]
    assert min(made["embedded"], made["chunk_bytes"], made["vector_bytes"], made["warm_tokens"]) > 0
    assert stages.runs.tokens_per_second(stages.context.embedder.fingerprint) is not None
    for stage in ("documents", "chunks", "embeddings"):
        shards = len(list((Path(corpus.store) / "content" / stage).glob("*/shards/*")))
        assert shards < BLOCKS / 2, "small shards are merged in the end"
    assert facts["embeddings"]["embedded"] == 0


def test_a_model_that_fails_ends_the_stream_and_leaves_no_parser(corpus: Workspace) -> None:
    stages = pipeline(corpus)

    def fail() -> None:
        raise ModelError("the model is broken")

    on_first_batch(stages, fail)
    with pytest.raises(ModelError, match="the model is broken"):
        stages.documents()
    assert written(corpus, "documents") <= 5 * BLOCK
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("stream", "parser"))]


def test_a_run_that_is_stopped_ends_after_its_batch_and_blames_no_document(
    corpus: Workspace, tmp_path: Path
) -> None:
    class Stopped(BaseException):
        """As Dagster raises it, amid whatever the run does."""

    def stop(stage: str, done: int, total: int) -> None:
        if 0 < done < total:
            raise Stopped

    with pytest.raises(Stopped):
        pipeline(corpus, progress=stop).documents()
    # Of the steps, each had a block at hand, and one was made ahead of each.
    assert written(corpus, "documents") <= 5 * BLOCK
    assert written(corpus, "embeddings") <= 2 * SHARD
    run_stages(pipeline(corpus))
    assert pipeline(corpus).context.snapshots.latest().quarantined == 0
    twin = workspace(tmp_path, "local", **SETTINGS)
    fill(twin, BLOCK * BLOCKS)
    run_stages(pipeline(twin))
    same(twin, corpus)


def test_without_work_nothing_is_started(corpus: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stages(pipeline(corpus))

    def never(*arguments: Any) -> Iterator[Any]:
        raise AssertionError("there was nothing to do")

    monkeypatch.setattr(threads, "work", never)
    again = pipeline(corpus)
    run_stages(again)
    assert again.runs.last()["stages"]["embeddings"]["embedded"] == 0
