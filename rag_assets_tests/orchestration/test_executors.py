"""``RAG_EXECUTOR``: one product, wherever its steps run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from rag_assets import open_published
from rag_assets.corpus import load_corpora
from rag_assets.errors import ConfigurationError
from rag_assets.orchestration.build import build_definitions
from rag_assets.orchestration.executors import open_executor
from rag_assets_tests.orchestration.deployment import Deployment
from rag_assets_tests.orchestration.ray_cluster import lacking, ray_cluster
from rag_assets_tests.workspace import Workspace, document

pytestmark = pytest.mark.xdist_group("ray")  # two clusters on one machine want one port
SHARD, TEXTS = 8, 40
MODEL_STEP = "handbook__embeddings.model"
EXECUTORS = {
    "": "in_process",
    "in_process": "in_process",
    "multiprocess": "multiprocess",
    "k8s": "k8s",
    "ray": "ray",
    "docker": "docker",
}


def definitions(root: Path) -> dg.Definitions:
    Workspace(root, str(root / "store"), events={"webhooks": {"secret_variable": "S"}})
    return build_definitions(load_corpora(root / "corpora"))


@pytest.mark.parametrize(("value", "name"), EXECUTORS.items())
@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_every_job_runs_on_the_executor_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, name: str
) -> None:
    monkeypatch.setenv("RAG_EXECUTOR", value)
    found = definitions(tmp_path)
    jobs = [found.resolve_job_def(job) for job in ("handbook_job", "handbook_events")]
    by_hand = found.resolve_implicit_global_asset_job_def()
    assert {job.executor_def.name for job in (*jobs, by_hand)} == {name}


def test_an_unknown_executor_is_refused_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_EXECUTOR", "kubernetes")
    with pytest.raises(ConfigurationError) as caught:
        definitions(tmp_path)
    assert str(caught.value) == (
        "environment RAG_EXECUTOR: found 'kubernetes'; allowed: in_process, multiprocess, k8s, ray, docker, "
        "or unset for in_process"
    )


@pytest.mark.parametrize("name", ["k8s", "ray", "docker"])
def test_an_executor_that_is_not_installed_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in [one for one in sys.modules if one.split(".")[0] == f"dagster_{name}"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, f"dagster_{name}", None)
    monkeypatch.setenv("RAG_EXECUTOR", name)
    with pytest.raises(ConfigurationError) as caught:
        definitions(tmp_path)
    message = str(caught.value)
    assert f"RAG_EXECUTOR: {name!r} needs dagster_{name}, which is not installed" in message
    assert f"'.[{name}]'" in message
    assert "in_process, multiprocess" in message


def test_what_ray_shows_on_its_dashboard_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_ray", reason="needs the extra 'ray'")
    for name in [name for name in os.environ if name.startswith(("RAG_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    for name in ("RAG_STORE", "RAG_INBOX", "AWS_SECRET_ACCESS_KEY", "NOTES_WEBHOOK_SECRET", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "x")
    given = open_executor("ray").apply_config_mapping({"config": {"ray": {"env_vars": ["MINE"]}}})
    assert given.value is not None
    assert given.value["config"]["ray"]["env_vars"] == ["RAG_STORE", "MINE"]


@pytest.fixture(scope="module")
def ray() -> Iterator[dict[str, str]]:
    if reason := lacking():
        pytest.skip(reason)
    with ray_cluster() as environ:
        yield environ


@pytest.fixture
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Deployment:
    """One whose steps run where the parameter says."""
    environ = request.getfixturevalue("ray") if request.param == "ray" else {}
    return Deployment(tmp_path / request.param, request.param, environ)


@pytest.mark.slow
@pytest.mark.parametrize("deployment", ["multiprocess", "ray"], indirect=True)
def test_the_same_documents_give_the_same_index_wherever_steps_run(
    deployment: Deployment, tmp_path: Path
) -> None:
    found = []
    for one in (Deployment(tmp_path / "here"), deployment):
        workspace = one.corpus()
        workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water.")
        workspace.write("b.md", document(1))
        result = one.run()
        assert result.returncode == 0, result.stderr[-3000:]
        reader = open_published("handbook", one.store)
        hits = reader.search("Which birds swim in cold water?", k=4)
        found.append((workspace.rows().drop("uri"), [(hit.chunk_id, round(hit.score, 6)) for hit in hits]))
    (rows, hits), (other_rows, other_hits) = found
    assert rows.equals(other_rows)
    assert hits == other_hits


@pytest.mark.slow
@pytest.mark.parametrize("deployment", ["multiprocess", "ray"], indirect=True)
def test_a_step_that_is_killed_in_mid_batch_goes_on_where_it_was(
    deployment: Deployment, tmp_path: Path
) -> None:
    deployment.environ = {**deployment.environ, "WATCH_DIE_AT": "3"}
    settings = {"gpu": {}, "embedder": {"precision": "float32", "shard_chunks": SHARD}}
    killed, clean = (
        deployment.corpus(**settings),
        Workspace(tmp_path / "clean", str(tmp_path / "clean"), **settings),
    )
    for workspace in (killed, clean):
        for seed in range(TEXTS // 4):
            workspace.write(f"{seed}.md", document(seed))
    texts = len(clean.run())
    result = deployment.run()
    assert result.returncode == 0, result.stderr[-3000:]
    kinds = [event.event_type_value for _, event in deployment.events() if event.step_key == MODEL_STEP]
    assert kinds.count("STEP_UP_FOR_RETRY") == 1
    assert deployment.watch.with_suffix(".died").exists()
    assert texts < sum(deployment.batches()) <= texts + SHARD
    (metadata,) = [
        event.step_materialization_data.materialization.metadata
        for _, event in deployment.events()
        if event.is_step_materialization and event.step_key == "handbook__embeddings.record"
    ]
    # Shards are written in halves; of two that were computed the second was perhaps still being written.
    again = sum([*deployment.batches()][3:])
    assert metadata["reused"].value == texts - again, "what was committed before the kill"
    assert texts - again in (SHARD // 2, SHARD)
    rows, expected = killed.rows().drop("uri"), clean.rows().drop("uri")
    assert rows.drop("vector").equals(expected.drop("vector"))
    assert np.allclose(rows["vector"].to_numpy(), expected["vector"].to_numpy(), atol=1e-5)
