"""Suites as asset checks: errors stop what follows, warnings do not."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from rag_assets.errors import GateRefused
from rag_assets.publication.log import PublicationLog
from rag_assets_tests.orchestration.test_materialize import fresh, materialize, materialized
from rag_assets_tests.workspace import Workspace, run_stages

STAGES = ("documents", "chunks", "embeddings", "evaluation")


def limit(workspace: Workspace, stage: str, column: str, severity: str) -> None:
    """A suite that no corpus meets."""
    folder = workspace.path.parent / "quality"
    folder.mkdir(exist_ok=True)
    (folder / f"{stage}.yaml").write_text(
        "- expectation: expect_column_values_to_be_between\n"
        f"  severity: {severity}\n  kwargs: {{column: {column}, max_value: 0}}\n"
    )


def checks(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    """Whether the check passed, and its severity, by asset."""
    return {
        check.asset_key.path[-1]: (check.passed, check.severity.value)
        for check in result.get_asset_check_evaluations()
        if check.check_name == "quality"
    }


def test_every_stage_has_a_check_where_the_corpus_file_asks_for_it(tmp_path: Path) -> None:
    result = materialize(fresh(tmp_path, str(tmp_path / "store"), quality={}))
    assert result.success
    assert checks(result).keys() == set(STAGES)


def test_a_corpus_that_does_not_ask_for_it_has_no_check(tmp_path: Path) -> None:
    result = materialize(fresh(tmp_path, str(tmp_path / "store")))
    assert result.success
    assert checks(result) == {}


def test_a_warning_is_shown_and_stops_nothing(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"), quality={"suites": "quality"})
    limit(workspace, "documents", "documents", "warning")
    result = materialize(workspace)
    assert result.success
    assert checks(result)["documents"] == (False, "WARN")
    assert "publication" in materialized(result)


@pytest.mark.parametrize(
    ("stage", "column", "asset", "next"),
    [
        ("documents", "documents", "documents", "chunks"),
        ("chunks", "chunks", "chunks", "embeddings"),
        ("embeddings", "chunks", "embeddings", "index"),
        ("gold", "questions", "evaluation", "publication"),
    ],
)
def test_an_error_stops_what_follows(tmp_path: Path, stage: str, column: str, asset: str, next: str) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"), quality={"suites": "quality"})
    limit(workspace, stage, column, "error")
    result = materialize(workspace)
    assert not result.success
    assert checks(result)[asset] == (False, "ERROR")
    assert asset in materialized(result)
    assert next not in materialized(result)


def test_an_error_also_refuses_a_publication_that_bypasses_dagster(tmp_path: Path) -> None:
    workspace = fresh(tmp_path, str(tmp_path / "store"), quality={"suites": "quality"})
    limit(workspace, "chunks", "chunks", "error")
    pipeline, _ = workspace.pipeline()
    with pytest.raises(GateRefused, match=r"chunks: chunks must be less than or equal to 0\."):
        run_stages(pipeline)
    assert PublicationLog(workspace.objects, workspace.name).head() is None
