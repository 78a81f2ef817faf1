"""Assets at work: one by one, all together, twice, and when something is wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_assets.errors import StoreUnavailable
from rag_assets.index.table import open_table
from rag_assets.orchestration.assets import corpus_assets
from rag_assets.orchestration.build import build_definitions
from rag_assets.orchestration.resources import StoreResource, log_progress
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets_tests.servers import SECRET_KEY
from rag_assets_tests.workspace import Workspace, document

STAGES = ("documents", "chunks", "embeddings", "index", "evaluation", "publication")
SETTINGS: dict[str, Any] = {"evaluation": {"gold": "gold.jsonl"}}
QUESTION = '{"id": "q1", "question": "Which birds swim in cold water?", "documents": ["a.md"]}\n'


def fresh(root: Path, store: str, **settings: Any) -> Workspace:
    workspace = Workspace(root, store, **{**SETTINGS, **settings})
    (root / "corpora" / "gold.jsonl").write_text(QUESTION)
    workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water.")
    workspace.write("b.md", document(1))
    return workspace


def materialize(
    workspace: Workspace, *stages: str, instance: dg.DagsterInstance | None = None, **config: Any
) -> dg.ExecuteInProcessResult:
    keys = [dg.AssetKey([workspace.name, stage]) for stage in stages]
    return dg.materialize(
        corpus_assets(workspace.corpus),
        instance=instance,
        selection=dg.AssetSelection.assets(*keys) if stages else None,
        resources={"store": StoreResource(url=workspace.store), "progress": log_progress},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **config},
        raise_on_error=False,
    )


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Metadata by stage, in order."""
    return {
        event.asset_key.path[-1]: {
            name: value.value
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def data_versions(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        event.asset_key.path[-1]: str(
            (event.step_materialization_data.materialization.tags or {})["dagster/data_version"]
        )
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        check.check_name: str(check.description)
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }


def test_assets_can_be_materialized_one_by_one(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    for stage in STAGES:
        result = materialize(workspace, stage)
        assert result.success
        assert list(materialized(result)) == [stage]
    head = workspace.pipeline()[0].log.head()
    assert head is not None
    assert (head.number, head.documents) == (1, 2)


def test_a_stage_without_its_input_says_what_to_materialize(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    assert materialize(workspace, "documents").success
    result = materialize(workspace, "index")
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "materialize" in str(failure.step_failure_data.user_failure_data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dg.ExecuteInProcessResult]:
    root = tmp_path_factory.mktemp("materialize")
    workspace = fresh(root, str(root / "store"))
    return workspace, materialize(workspace)


def test_every_materialization_says_what_was_done(run: tuple[Workspace, dg.ExecuteInProcessResult]) -> None:
    workspace, result = run
    assert result.success
    found = materialized(result)
    assert tuple(found) == STAGES
    assert found["documents"].keys() >= {
        "new",
        "changed",
        "moved",
        "deleted",
        "reused",
        "quarantined",
        "bytes_read",
        "preview",
    }
    assert (found["documents"]["dagster/row_count"], found["documents"]["new"]) == (2, 2)
    assert found["chunks"].keys() >= {"chunked", "chunks", "tokens", "bytes", "preview", "fingerprint"}
    assert found["embeddings"].keys() >= {
        "embedded",
        "reused",
        "tokens",
        "texts_per_second",
        "model",
        "precision",
    }
    assert found["index"].keys() >= {"lance_version", "indexes", "dagster/row_count", "state"}
    assert found["evaluation"]["questions"] == 1
    assert Path(found["evaluation"]["report"]).is_file()
    assert found["publication"]["publication"] == 1
    checks = {check.check_name for check in result.get_asset_check_evaluations() if check.passed}
    assert {"quarantine", "exact_content", "gate"} <= checks
    table = open_table(workspace.objects, workspace.name, at="published")
    assert table is not None
    assert table.version == found["publication"]["lance_version"]


def test_the_evaluation_shows_its_charts_in_the_ui(tmp_path: Path) -> None:
    answered: dict[str, Any] = {"evaluation": {"gold": "gold.jsonl", "answers": {}}}
    charts = {}
    for name, settings in (("searched", {}), ("answered", answered)):
        (tmp_path / name).mkdir()
        workspace = fresh(tmp_path / name, str(tmp_path / name / "store"), **settings)
        result = materialize(workspace)
        assert result.success
        found = materialized(result)["evaluation"]
        charts[name] = {key: value for key, value in found.items() if "data:image/png;base64," in str(value)}
    assert set(charts["searched"]) == {"plot"}
    assert set(charts["answered"]) == {"plot", "answers_plot"}
    assert charts["answered"]["plot"] != charts["answered"]["answers_plot"]


def test_a_second_run_changes_no_data_version(run: tuple[Workspace, dg.ExecuteInProcessResult]) -> None:
    workspace, first = run
    second = materialize(workspace)
    assert second.success
    assert data_versions(second) == data_versions(first)
    found = materialized(second)
    assert (found["index"]["state"], found["publication"]["published"]) == ("unchanged", False)
    assert (found["chunks"]["chunked"], found["embeddings"]["embedded"]) == (0, 0)


def test_an_edit_changes_every_data_version(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    before = data_versions(materialize(workspace))
    workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water and eat fish.")
    after = data_versions(materialize(workspace))
    assert {stage for stage in STAGES if before[stage] != after[stage]} == set(STAGES)


def test_reason_and_author_of_a_run_stand_in_the_log(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    result = materialize(
        workspace, ops={f"{workspace.name}__publication": {"config": {"reason": "quarterly review"}}}
    )
    assert result.success
    head = workspace.pipeline()[0].log.head()
    assert head is not None
    assert head.reason == "quarterly review"
    assert head.by


def test_too_many_quarantined_documents_stop_the_run(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    workspace.write("broken.pdf", "%PDF-1.4 not really")
    result = materialize(workspace)
    assert not result.success
    assert list(materialized(result)) == ["documents"], "nothing downstream ran"
    assert "1 of 3 documents (33.3%) are quarantined" in failed_checks(result)["quarantine"]
    assert workspace.pipeline()[0].log.head() is None
    assert materialize(workspace, "chunks").success
    assert not materialize(workspace, "embeddings").success, "nothing is embedded in a later run either"


def gate_check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "gate"]
    return found


def test_a_gate_without_rules_is_not_measured_and_blocks_nothing(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    for evaluation, words in (
        ({"gold": "gold.jsonl"}, "not measured against a rule"),
        ({}, "not measured: handbook has no gold questions"),
    ):
        workspace.configure(evaluation=evaluation)
        result = materialize(workspace, *STAGES)
        assert result.success
        check = gate_check(result)
        assert check.passed and str(check.description).startswith(words)
        assert check.metadata["gate"].value == "not measured"
    workspace.configure(**SETTINGS, gate={"rules": [{"metric": "recall@5", "min": 1.0}]})
    assert gate_check(materialize(workspace, *STAGES)).description == "passed"


def test_what_a_change_removed_stands_in_the_gates_check(tmp_path: Path) -> None:
    rule = {"metric": "recall@5", "min": 1.0}
    workspace = fresh(tmp_path, str(tmp_path / "store"), gate={"rules": [rule], "max_removed_share": 1.0})
    assert materialize(workspace, *STAGES).success
    (workspace.documents / "a.md").unlink()
    result = materialize(workspace, *STAGES)
    gone = "gone since publication 1: a.md (1 question): restore it, or retire the question"
    assert not result.success
    assert gone in str(gate_check(result).description)
    assert gone in str(gate_check(result).metadata["removed"].value)


def test_a_refused_gate_stops_the_publication(tmp_path: Path) -> None:
    rule = {"metric": "recall@5", "mode": "text", "min": 1.0}
    workspace = fresh(tmp_path, str(tmp_path / "store"), gate={"rules": [rule]})
    (tmp_path / "corpora" / "gold.jsonl").write_text(QUESTION.replace("a.md", "b.md"))
    result = materialize(workspace)
    assert not result.success
    assert "publication" not in materialized(result)
    assert "1.000 below the required 1.000" in failed_checks(result)["gate"]
    assert "q1" in failed_checks(result)["gate"]
    alone = materialize(workspace, "publication")
    assert not alone.success, "the gate holds when publication is materialized alone"
    assert workspace.pipeline()[0].log.head() is None


def attempts(result: dg.ExecuteInProcessResult) -> int:
    return 1 + sum(event.is_step_restarted for event in result.all_events)


@pytest.mark.parametrize(
    ("error", "tries"),
    [(StoreUnavailable("could not read s3://x"), 3), (RuntimeError("a bug"), 1), (ValueError("another"), 1)],
)
def test_only_what_may_heal_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    calls = []

    def fail(self: Pipeline, **_: bool) -> None:
        calls.append(1)
        raise error

    monkeypatch.setattr(Pipeline, "documents", fail)
    monkeypatch.setattr("rag_assets.orchestration.declare.RETRY", dg.RetryPolicy(max_retries=2))
    result = materialize(workspace, "documents")
    assert not result.success
    assert len(calls) == tries == attempts(result)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert str(error) in str(failure.step_failure_data)


def test_what_heals_is_done_by_the_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    original, calls = Pipeline.documents, []

    def fail_once(self: Pipeline, **_: bool) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise StoreUnavailable("no answer")
        return original(self)

    monkeypatch.setattr(Pipeline, "documents", fail_once)
    monkeypatch.setattr("rag_assets.orchestration.declare.RETRY", dg.RetryPolicy(max_retries=2))
    assert materialize(workspace, "documents").success
    assert len(calls) == 2


def test_a_run_that_is_interrupted_ends_and_does_not_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    original, calls = Pipeline.documents, []

    def interrupt_once(self: Pipeline, **_: bool) -> Any:
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    monkeypatch.setattr(Pipeline, "documents", interrupt_once)
    result = materialize(workspace)
    assert not result.success
    assert len(calls) == attempts(result) == 1
    assert materialized(result) == {}


def test_a_run_on_s3_keeps_its_secret(s3_store_url: str, tmp_path: Path) -> None:
    workspace = fresh(tmp_path, s3_store_url)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(workspace, instance=instance)
        assert result.success
        logs = [str(entry) for entry in instance.all_logs(result.run_id)]
        stored = str(instance.get_run_by_id(result.run_id))
    assert SECRET_KEY not in "".join(logs) + stored
    everything = b"".join(workspace.objects.get(info.path) for info in workspace.objects.list("corpora"))
    assert SECRET_KEY.encode() not in everything


def test_the_job_runs_the_whole_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"))
    monkeypatch.setenv("RAG_STORE", workspace.store)
    job = build_definitions({workspace.name: workspace.corpus}).resolve_job_def(f"{workspace.name}_job")
    result = job.execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    )
    assert result.success
    assert tuple(materialized(result)) == STAGES
