"""Records of runs: each run has its own, and none of them can stop a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_assets.ingest.embedding import stage
from rag_assets.pipeline import runs as module
from rag_assets.pipeline.runs import RunRecords
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.workspace import Workspace, document, run_stages


def test_runs_at_the_same_time_keep_their_own_records(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    one, two = RunRecords(objects, "handbook"), RunRecords(objects, "handbook")
    one.record("one", "documents", {"new": 1})
    two.record("two", "documents", {"new": 2})
    one.record("one", "chunks", {"chunked": 1})
    assert one.of("one")["stages"] == {"documents": {"new": 1}, "chunks": {"chunked": 1}}
    assert one.of("two")["stages"] == {"documents": {"new": 2}}
    assert two.last() == one.of("one")
    assert one.of("three") == {}


def test_records_of_old_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_RUNS", 2)
    records = RunRecords(ObjectStore.open(tmp_path), "handbook")
    for run_id in ("one", "two", "three"):
        records.record(run_id, "documents", {"new": 1})
    assert [bool(records.of(run_id)) for run_id in ("one", "two", "three")] == [False, True, True]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\0\0",
        b"[]",
        b'{"stages": 1, "model": 2}',
        b'{"stages": {"documents": 1}, "model": {"tokens": "many"}}',
        b'{"stages": {"documents": {"new": "many"}}, "model": {}}',
        b'{"stages": {"documents": {"ahead": {}}}}',
    ],
)
def test_damaged_statistics_count_as_none(tmp_path: Path, content: bytes) -> None:
    objects = ObjectStore.open(tmp_path)
    records = RunRecords(objects, "handbook")
    for path in ("corpora/handbook/last_run.json", "corpora/handbook/runs/one.json", "throughput.json"):
        objects.put(path, content)
    assert records.last() == records.of("one") == {}
    assert records.tokens_per_second("model") is None
    records.record("one", "documents", {"new": 1})
    records.measured("model", 10, 2.0)
    assert records.last()["stages"] == {"documents": {"new": 1}}
    assert records.tokens_per_second("model") == 5


def test_how_fast_a_model_is_does_not_count_how_long_it_takes_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), embedder={"type": "static", "shard_chunks": 8})
    for number in range(8):
        workspace.write(f"{number}.md", document(number))
    pipeline, embedder = workspace.pipeline()
    inner, calls, clock = embedder.embed, [], [0.0]

    def slow_at_first(texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        clock[0] += 1.0 if calls else 1000.0
        calls.append(sum(tokens))
        return inner(texts, tokens)

    monkeypatch.setattr(stage, "perf_counter", lambda: clock[0])
    embedder.embed = slow_at_first  # type: ignore[method-assign]
    run_stages(pipeline)
    assert len(calls) > 3
    warm = pipeline.runs.tokens_per_second(pipeline.context.embedder.fingerprint)
    assert warm is not None
    assert warm >= sum(calls[1:]) / (len(calls) - 1), "a second for each batch after the first, at most"

    workspace.write("one.md", "# One\n\nA single text, for which a model is loaded.\n")
    later, embedder = workspace.pipeline(run_id="later")
    run_stages(later)
    assert len(embedder.texts) == 1
    assert later.runs.tokens_per_second(later.context.embedder.fingerprint) == warm
