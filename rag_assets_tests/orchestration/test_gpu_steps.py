"""Steps with a GPU: which they are, what executors are told, and that none starts without work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_assets.errors import StoreUnavailable
from rag_assets.ingest.embedding.transformer import TransformerEmbedder
from rag_assets.orchestration import gpu
from rag_assets.orchestration.build import build_definitions
from rag_assets_tests.orchestration.test_materialize import (
    STAGES,
    attempts,
    data_versions,
    fresh,
    materialize,
    materialized,
)
from rag_assets_tests.orchestration.test_quality import limit
from rag_assets_tests.workspace import Workspace

MODEL: dict[str, Any] = {"embedder": {"precision": "float32"}}
GPU: dict[str, Any] = {
    "count": 2,
    "memory_gib": 40,
    "image": "registry.example.org/rag-assets:cuda",
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
    "priority": 7,
    "priority_class": "batch",
    "secrets": [{"variable": "HF_TOKEN", "secret": "hub", "key": "token"}],
}


def corpus(root: Path, **settings: Any) -> Workspace:
    root.mkdir(exist_ok=True)
    return fresh(root, str(root / "store"), **settings)


def operations(workspace: Workspace) -> dict[str, dg.OpDefinition]:
    """Every step of the corpus's job, by its name in the UI."""
    job = build_definitions({workspace.name: workspace.corpus}).resolve_job_def(f"{workspace.name}_job")
    found: dict[str, dg.OpDefinition] = {}
    for node in job.nodes:
        inner = node.definition.nodes if isinstance(node.definition, dg.GraphDefinition) else [node]
        for step in inner:
            assert isinstance(step.definition, dg.OpDefinition)
            found[step.name if step is node else f"{node.name}.{step.name}"] = step.definition
    return found


def steps(result: dg.ExecuteInProcessResult, event: str) -> set[str]:
    return {str(one.step_key) for one in result.all_events if one.event_type_value == event}


def test_without_gpu_no_step_is_marked(tmp_path: Path) -> None:
    found = operations(corpus(tmp_path, **MODEL, evaluation={"gold": "gold.jsonl", "answers": {}}))
    assert all(gpu.GPU_TAG not in step.tags for step in found.values())
    pools = {name.removeprefix("handbook__"): step.pool for name, step in found.items()}
    assert (pools["embeddings"], pools["answers"], pools["judgements"]) == (
        "embedding",
        "generation",
        "judging",
    )


@pytest.mark.parametrize("settings", [{"embedder": {"type": "static"}}])
def test_a_stage_that_needs_none_stays_one_step_without_a_gpu(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    answered = {"gold": "gold.jsonl", "answers": {}}
    found = operations(corpus(tmp_path, gpu=GPU, evaluation=answered, **settings))
    assert len(found) == len(STAGES) + 2
    assert all(gpu.GPU_TAG not in step.tags for step in found.values())
    assert found["handbook__embeddings"].pool == "embedding"


def test_only_the_step_that_runs_the_model_is_marked(tmp_path: Path) -> None:
    found = operations(corpus(tmp_path, gpu=GPU, **MODEL))
    marked = {name for name, step in found.items() if gpu.GPU_TAG in step.tags or step.pool == gpu.GPU_POOL}
    assert marked == {"handbook__embeddings.model"}
    assert all(
        not any(tag.startswith("dagster-") for tag in step.tags)
        for name, step in found.items()
        if name not in marked
    )


def test_each_executor_is_told_what_the_corpus_file_says(tmp_path: Path) -> None:
    step = operations(corpus(tmp_path, gpu=GPU, **MODEL))["handbook__embeddings.model"]
    assert step.pool == "gpu"
    assert step.tags["rag_assets/gpu"] == "true"
    assert step.tags["dagster/priority"] == "7"
    from dagster_ray.configs import RayExecutionConfig

    ray = RayExecutionConfig.from_tags(step.tags)
    assert (ray.num_gpus, ray.resources) == (2, {"gpu_memory_gib": 40})
    kubernetes = json.loads(step.tags["dagster-k8s/config"])
    assert kubernetes["container_config"]["resources"] == {"limits": {"nvidia.com/gpu": "2"}}


def test_a_gpu_changes_nothing_that_others_know_of_an_asset(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**MODEL, "quality": {}, "automation": True, "owners": ["team:docs"]}
    specs = []
    for name, extra in (("plain", {}), ("gpu", {"gpu": {}})):
        workspace = corpus(tmp_path / name, **settings, **extra)
        definitions = build_definitions({workspace.name: workspace.corpus})
        graph = definitions.resolve_asset_graph()
        specs.append(
            {
                key: (
                    node.parent_keys,
                    node.group_name,
                    node.kinds,
                    node.code_version,
                    node.owners,
                    node.description,
                    node.automation_condition,
                    node.check_keys,
                )
                for key in graph.get_all_asset_keys()
                for node in [graph.get(key)]
            }
            | {key: graph.get_check_spec(key) for key in graph.asset_check_keys}
        )
    assert specs[0] == specs[1]


def test_every_step_of_a_stage_retries(tmp_path: Path) -> None:
    found = operations(corpus(tmp_path, gpu={}, **MODEL))
    assert {name for name in found if "embeddings" in name} == {
        f"handbook__embeddings.{step}" for step in ("plan", "model", "record")
    }
    assert all(step.retry_policy is not None for step in found.values())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dg.ExecuteInProcessResult]:
    workspace = corpus(tmp_path_factory.mktemp("gpu"), gpu={}, quality={}, **MODEL)
    return workspace, materialize(workspace)


def test_a_run_with_a_gpu_makes_what_one_without_it_makes(
    run: tuple[Workspace, dg.ExecuteInProcessResult], tmp_path: Path
) -> None:
    workspace, with_gpu = run
    plain = corpus(tmp_path, quality={}, **MODEL)
    without = materialize(plain)
    assert with_gpu.success and without.success
    assert steps(with_gpu, "STEP_SUCCESS") >= {
        f"handbook__embeddings.{step}" for step in ("plan", "model", "record")
    }
    # Ids of documents are the same in both; what differs is where they lie.
    rows = [one.rows().drop("uri") for one in (workspace, plain)]
    assert rows[0].equals(rows[1])
    found, expected = materialized(with_gpu), materialized(without)
    assert tuple(found) == tuple(expected)
    assert found["embeddings"].keys() == expected["embeddings"].keys()
    for counted in ("embedded", "reused", "tokens", "bytes", "fingerprint"):
        assert found["embeddings"][counted] == expected["embeddings"][counted]
    checks = [
        {
            (str(check.asset_key), check.check_name, check.passed)
            for check in one.get_asset_check_evaluations()
        }
        for one in (with_gpu, without)
    ]
    assert checks[0] == checks[1]


def test_without_work_no_gpu_is_asked_for_and_what_follows_goes_on(
    run: tuple[Workspace, dg.ExecuteInProcessResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, first = run

    def no_model(*_: object) -> None:
        raise AssertionError("the model was asked for vectors")

    monkeypatch.setattr(TransformerEmbedder, "embed", no_model)
    second = materialize(workspace)
    assert second.success
    assert steps(second, "STEP_SKIPPED") == {"handbook__embeddings.model"}
    assert steps(second, "STEP_START") >= {"handbook__embeddings.record", "handbook__publication"}
    assert data_versions(second) == data_versions(first)
    assert tuple(materialized(second)) == STAGES
    found = materialized(second)["embeddings"]
    assert (found["embedded"], found["reused"]) == (0, 0), "nothing differs from what is published"


def test_a_failed_check_of_such_a_stage_stops_what_follows(tmp_path: Path) -> None:
    workspace = corpus(tmp_path, gpu={}, quality={"suites": "quality"}, **MODEL)
    limit(workspace, "embeddings", "chunks", "error")
    result = materialize(workspace)
    assert not result.success
    assert tuple(materialized(result)) == ("documents", "chunks", "embeddings")


def test_what_heals_is_done_by_the_retry_of_the_model_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = corpus(tmp_path, gpu={}, **MODEL)
    original, calls = TransformerEmbedder.embed, []

    def fail_once(self: TransformerEmbedder, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise StoreUnavailable("no answer")
        return original(self, *arguments)

    monkeypatch.setattr(TransformerEmbedder, "embed", fail_once)
    monkeypatch.setattr("rag_assets.orchestration.model_stage.RETRY", dg.RetryPolicy(max_retries=2))
    result = materialize(workspace)
    assert result.success
    assert attempts(result) == 2
    assert materialized(result)["embeddings"]["embedded"] > 0


def test_a_run_taken_up_after_the_model_step_reports_what_is_there(tmp_path: Path) -> None:
    workspace = corpus(tmp_path, gpu={}, **MODEL)
    assert materialize(workspace, "documents", "chunks").success
    pipeline, embedder = workspace.pipeline(run_id="the run that failed")
    pipeline.embeddings()
    assert embedder.texts
    result = materialize(workspace, "embeddings")
    assert result.success
    found = materialized(result)["embeddings"]
    assert (found["embedded"], found["reused"]) == (0, len(embedder.texts))


def test_answers_and_judgements_ask_for_a_gpu_only_when_some_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if these, which need no model server, computed on a GPU.
    monkeypatch.setattr(gpu, "GPU_GENERATORS", frozenset(["extractive"]))
    monkeypatch.setattr(gpu, "GPU_JUDGES", frozenset(["local"]))
    answered = {"gold": "gold.jsonl", "answers": {}}
    workspace = corpus(tmp_path, gpu={}, evaluation=answered)
    models = {f"handbook__{stage}.model" for stage in ("answers", "judgements")}
    first = materialize(workspace)
    assert first.success
    assert steps(first, "STEP_SUCCESS") >= models
    made = materialized(first)
    assert [(made[stage]["made"], made[stage]["failed"]) for stage in ("answers", "judgements")] == [
        (1, 0)
    ] * 2
    second = materialize(workspace)
    assert second.success
    assert steps(second, "STEP_SKIPPED") == models
    assert data_versions(second) == data_versions(first)
    again = materialized(second)
    assert [(again[stage]["made"], again[stage]["reused"]) for stage in ("answers", "judgements")] == [
        (0, 1)
    ] * 2
