"""The check ``verified``: a deployment's runs compare what readers see with the stores from time to time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from rag_assets_tests.orchestration.daemon import Daemon
from rag_assets_tests.publication.test_verification import WORDS, damage, head, texts
from rag_assets_tests.workspace import Workspace, document


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def run(workspace: Workspace, instance: dg.DagsterInstance) -> tuple[bool, dg.AssetCheckEvaluation]:
    """Whether a run succeeds, and what the check says."""
    result = Daemon(instance, workspace.corpus, workspace.store).start(f"{workspace.name}_job")
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "verified"]
    return result.success, check


def test_a_run_finds_damage_of_what_is_published_and_the_next_one_mends_it(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), publication={"verify_days": 0})
    for number in range(6):
        workspace.write(f"d{number}.md", document(number, 2))
    success, check = run(workspace, instance)
    assert success and check.passed and check.metadata["rows"].value == 12
    damage(workspace)
    success, check = run(workspace, instance)
    assert not success and not check.passed
    assert "publication 1 is damaged" in str(check.description)
    assert f"rag-assets run {workspace.name} writes the index anew" in str(check.description)
    success, check = run(workspace, instance)
    assert success and check.passed
    assert head(workspace).number == 2
    assert WORDS[0] in texts(workspace) and WORDS[1] not in texts(workspace)


def test_a_run_does_not_verify_again_before_its_time(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("d0.md", document(0, 2))
    success, check = run(workspace, instance)
    assert success and check.passed and check.metadata["verified"].value == "when it was built"
    assert workspace.objects.info(f"corpora/{workspace.name}/verification.json") is None
