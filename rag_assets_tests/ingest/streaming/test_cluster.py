"""What goes wrong on a cluster, or with it, is said in this package's own errors."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import ConfigurationError, SourceUnavailable
from rag_assets.ingest.streaming.job import Job
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.ingest.streaming.corpora import RAY, fill, on, pipeline, workspace
from rag_assets_tests.workspace import Workspace, update_snapshot

pytestmark = pytest.mark.xdist_group("ray")  # two clusters on one machine want one port


@pytest.fixture
def corpus(tmp_path: Path) -> Workspace:
    found = workspace(tmp_path, "ray")
    fill(found, 3)
    return found


def test_without_the_package_the_extra_is_named(corpus: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as the interpreter has it for what is not there
    with pytest.raises(ConfigurationError, match=r"engine: ray needs the extra ray: .*\[ray\]"):
        pipeline(corpus).documents()


def test_another_model_than_the_run_began_with_is_refused(cluster: Any, corpus: Workspace) -> None:
    stages = pipeline(corpus)
    embedder: Any = stages.context.embedder
    embedder.fingerprint = "0" * 32  # as if the model had been another one where the run began
    with pytest.raises(
        ConfigurationError, match="install the same packages and the same model files"
    ) as caught:
        stages.documents()
    assert type(caught.value) is ConfigurationError
    assert stages.context.snapshots.latest().number == 0


def test_a_folder_that_only_the_driver_has_is_an_error_and_no_deletion(
    cluster: Any, corpus: Workspace
) -> None:
    stages = pipeline(corpus)
    listed = stages.stream

    class Elsewhere:
        """A folder that is gone when the actors look."""

        def documents(self, wanted: Any, counts: Any) -> Any:
            corpus.documents.rename(corpus.documents.with_name("elsewhere"))
            assert listed is not None
            return listed.documents(wanted, counts)

    vars(stages)["stream"] = Elsewhere()
    with pytest.raises(SourceUnavailable):
        update_snapshot(stages, None)
    assert stages.context.snapshots.latest().number == 0


def test_what_actors_are_told_holds_no_secret(corpus: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "hidden-from-all")
    stages = pipeline(corpus)
    job = Job.of(replace(stages.context, objects=ObjectStore.open("s3://bucket/prefix")))
    told = pickle.dumps(job)
    assert b"s3://bucket/prefix" in told
    assert b"hidden" not in told


def run_alone(corpus: Workspace) -> str:
    """What the documents stage says in a process that knows of no cluster."""
    code = (
        "import sys; from pathlib import Path; from rag_assets.corpus import load_corpus; "
        "from rag_assets.errors import RagAssetsError\n"
        "from rag_assets.pipeline.pipeline import Pipeline; from rag_assets.store.objects import ObjectStore\n"
        "try: Pipeline(ObjectStore.open(sys.argv[2]), load_corpus(Path(sys.argv[1])), run_id='r').documents()\n"
        "except RagAssetsError as error: print(type(error).__name__, error)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(corpus.path), corpus.store],
        env=environ, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_machine_of_its_own_that_lacks_the_gpus_is_refused(corpus: Workspace) -> None:
    corpus.configure(**on("ray", {}) | {"ray": {**RAY, "address": "local", "gpus_per_worker": 64}})
    said = run_alone(corpus)
    assert said.startswith("ConfigurationError")
    assert "64 GPUs" in said


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_named(corpus: Workspace) -> None:
    corpus.configure(**on("ray", {}) | {"ray": {**RAY, "address": "127.0.0.1:9"}})
    said = run_alone(corpus)
    assert said.startswith("ClusterUnavailable")
    assert "127.0.0.1:9" in said


@pytest.mark.slow
def test_where_no_cluster_runs_one_is_started_for_the_run(corpus: Workspace) -> None:
    corpus.configure(**on("ray", {}) | {"ray": {"address": "local", "cpus_per_worker": 0.5}})
    assert run_alone(corpus) == ""
    assert pipeline(corpus).context.snapshots.latest().documents == 3
