"""The embedding stage: what is missing is embedded once, and a poison text harms nobody but itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Barrier, Event, Lock, Semaphore
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag_assets.errors import EmbeddingFailed, ModelError, ModelUnavailable, StoreUnavailable
from rag_assets.ingest.chunking.tokens import CharacterCounter, TokenCounter
from rag_assets.ingest.embedding.stage import PROBE, Stopped, embed_missing, embedding_store
from rag_assets.store.digest import digest
from rag_assets.store.objects import ObjectStore


class Frail:
    """An embedder that refuses every batch with a poison text in it, and counts what it is asked."""

    fingerprint = "frail"
    about: Mapping[str, Any] = {"model": "frail"}
    window: int | None = None
    at_once = 1

    def __init__(self, poison: Iterable[str] = (), *, broken: bool = False) -> None:
        self._poison = set(poison)
        self._broken = broken
        self.calls: list[list[str]] = []
        self.embedded: list[str] = []

    def counter(self) -> TokenCounter:
        return CharacterCounter()

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        assert len(texts) == len(tokens)
        self.calls.append(list(texts))
        if self._broken or self._poison & set(texts):
            raise EmbeddingFailed("the model choked")
        self.embedded += [text for text in texts if text != PROBE]
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed(texts, [1] * len(texts))


def frame(texts: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"key": [digest(text) for text in texts], "text": texts, "tokens": [len(text) for text in texts]},
        schema={"key": pl.String, "text": pl.String, "tokens": pl.Int64},
    )


def texts(count: int, start: int = 0) -> list[str]:
    return [f"text {number}" for number in range(start, start + count)]


def test_each_text_is_embedded_once_whatever_repeats(tmp_path: Path) -> None:
    embedder = Frail()
    store = embedding_store(ObjectStore.open(tmp_path), embedder)
    done: list[int] = []
    frames = [frame([*texts(5), *texts(5)]), frame(texts(8)), frame(texts(3))]
    counts = embed_missing(store, embedder, frames, 4, done.append)
    assert sorted(embedder.embedded) == sorted(texts(8))
    assert counts.embedded == 8
    assert counts.tokens == sum(map(len, texts(8)))
    assert counts.bytes > 0
    assert sum(done) == 10 + 8 + 3, "progress reaches its total"
    again = embed_missing(store, embedder, [frame(texts(9))], 4)
    assert (again.embedded, again.reused) == (1, 8)
    assert embedder.embedded.count("text 3") == 1


def test_a_shard_is_committed_every_so_many_texts(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    embedder = Frail()

    class Killed(BaseException):
        pass

    def die_later(done: int) -> None:
        if len(embedder.embedded) >= 9:
            raise Killed

    with pytest.raises(Killed):
        embed_missing(
            embedding_store(objects, embedder),
            embedder,
            [frame(texts(20))],
            3,
            die_later,
        )
    resumed = Frail()
    counts = embed_missing(embedding_store(objects, resumed), resumed, [frame(texts(20))], 3)
    # What was being computed when it ended is there, too.
    assert 9 <= counts.reused == len(embedder.embedded) <= 9 + 3
    assert counts.embedded == 20 - counts.reused
    assert not set(embedder.embedded) & set(resumed.embedded)


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, 63), max_size=6), st.sampled_from([1, 7, 64, 1000]))
def test_exactly_the_poison_texts_are_quarantined(
    tmp_path_factory: pytest.TempPathFactory, poison: set[int], shard: int
) -> None:
    embedder = Frail(f"text {number}" for number in poison)
    store = embedding_store(ObjectStore.open(tmp_path_factory.mktemp("poison")), embedder)
    counts = embed_missing(store, embedder, [frame(texts(64))], shard)
    assert (counts.poisoned, counts.embedded) == (len(poison), 64 - len(poison))
    rows = store.collect(frame(texts(64))["key"])
    assert rows.height == 64
    bad = rows.filter(pl.col("vector").is_null())
    assert set(bad["key"]) == set(frame([f"text {number}" for number in poison])["key"])
    assert set(bad["reason"]) <= {"the model choked"}
    assert rows.filter(pl.col("vector").is_not_null())["reason"].null_count() == 64 - len(poison)
    again = Frail(f"text {number}" for number in poison)
    assert embed_missing(store, again, [frame(texts(64))], shard).embedded == 0
    assert again.calls == [], "poison is remembered, too"


def test_a_shard_that_cannot_be_written_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Frail()
    store = embedding_store(ObjectStore.open(tmp_path), embedder)
    commit, calls = store.commit, []

    def once(rows: pl.DataFrame) -> int:
        calls.append(rows.height)
        if len(calls) == 1:
            raise StoreUnavailable("full")
        return commit(rows)

    monkeypatch.setattr(store, "commit", once)
    with pytest.raises(StoreUnavailable):
        embed_missing(store, embedder, [frame(texts(40))], 8)


def test_what_is_to_be_done_before_is_done_once_and_only_if_there_is_work(tmp_path: Path) -> None:
    embedder, done = Frail(), []
    store = embedding_store(ObjectStore.open(tmp_path), embedder)
    for _ in range(2):
        embed_missing(store, embedder, [frame(texts(40))], 8, before=lambda: done.append(1))
    assert done == [1]


def test_one_poison_text_among_64_costs_few_calls(tmp_path: Path) -> None:
    embedder = Frail(["text 41"])
    embed_missing(
        embedding_store(ObjectStore.open(tmp_path), embedder),
        embedder,
        [frame(texts(64))],
        64,
    )
    assert len(embedder.calls) <= 2 * 6 + 2
    assert len(embedder.embedded) == 63


def test_a_broken_model_is_an_error_and_quarantines_nothing(tmp_path: Path) -> None:
    embedder = Frail(broken=True)
    store = embedding_store(ObjectStore.open(tmp_path), embedder)
    with pytest.raises(ModelError, match="refuses even a plain sentence: the model choked"):
        embed_missing(store, embedder, [frame(texts(16))], 16)
    assert store.missing(frame(texts(16))["key"]).len() == 16


@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("shard", [1, 2, 7, 30])
def test_as_many_calls_as_a_model_wants_and_never_more_than_a_shard_uncommitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, shard: int
) -> None:
    """Calls wait for each other: in vain if fewer were made at the same time."""

    class Together(Frail):
        def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
            nonlocal computed, most
            assert calls.acquire(blocking=False), "more calls at once than it wants"
            with lock:
                computed += len(texts)
                most = max(most, computed - committed)
            if at_once < shard:  # else there are no texts for so many
                meeting.wait()
            vectors = super().embed(texts, tokens)
            calls.release()
            return vectors

    embedder = Together()
    embedder.at_once = at_once
    calls, lock, meeting = Semaphore(at_once), Lock(), Barrier(at_once, timeout=30)
    computed = committed = most = 0
    store = embedding_store(ObjectStore.open(tmp_path), embedder)
    commit = store.commit

    def counted(rows: pl.DataFrame) -> int:
        nonlocal committed
        written = commit(rows)
        with lock:
            committed += rows.height
        return written

    monkeypatch.setattr(store, "commit", counted)
    size = max(1, shard // (at_once + 1))
    counts = embed_missing(store, embedder, [frame(texts(12 * size))], shard)
    assert counts.embedded == 12 * size
    assert most <= shard


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_model_that_fails_is_not_asked_again(tmp_path: Path, at_once: int) -> None:
    class Gone(Frail):
        def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
            self.calls.append(list(texts))
            meeting.wait()  # all that may be asked at the same time are
            raise ModelUnavailable("no answer")

    embedder = Gone()
    embedder.at_once = at_once
    meeting, stop = Barrier(at_once, timeout=30), Event()
    with pytest.raises(ModelUnavailable):
        embed_missing(
            embedding_store(ObjectStore.open(tmp_path), embedder), embedder, [frame(texts(60))], 12, stop=stop
        )
    assert len(embedder.calls) == at_once
    assert stop.is_set(), "so that nobody makes more texts for it"


def test_it_ends_after_what_the_model_has_when_it_is_told_to(tmp_path: Path) -> None:
    embedder, stop = Frail(), Event()
    store = embedding_store(ObjectStore.open(tmp_path), embedder)

    def enough(done: int) -> None:
        if embedder.embedded:
            stop.set()

    with pytest.raises(Stopped):
        embed_missing(store, embedder, [frame(texts(60))], 4, enough, stop=stop)
    assert 0 < len(embedder.embedded) <= 8
    assert store.missing(frame(texts(60))["key"]).len() == 60 - len(embedder.embedded), "all of it was kept"
