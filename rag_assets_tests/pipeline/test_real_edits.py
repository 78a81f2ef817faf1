"""Promise 1 and 2 over real histories: each state equals a build from scratch and embeds new texts only."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from rag_assets_tests.workspace import Workspace

CPP_DOCS_STATES = ("2025-03", "2025-04", "2025-05", "2025-06", "2025-07")
# September 2021 of tldr-pages: 28 renames, 21 deletions, 89 new and 134 edited pages.
TLDR_MONTH = ("a315f90ce8878a0dfd0a8bc93d504cf99c693c45", "12a08758cc81162e1e3c4cbff6377061f661bcec")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def clone(bundle: Path, folder: Path) -> Path:
    git(bundle.parent, "clone", "--quiet", "--no-checkout", str(bundle), str(folder))
    return folder


def states_of_the_month(repository: Path, count: int) -> list[str]:
    """``count`` states of the month, evenly spread over its commits, first and last included."""
    first, last = TLDR_MONTH
    commits = [first, *git(repository, "rev-list", "--first-parent", "--reverse", f"{first}..{last}").split()]
    return [commits[round(step * (len(commits) - 1) / (count - 1))] for step in range(count)]


def replay(root: Path, repository: Path, include: list[str], states: list[str]) -> Counter[str]:
    """Run over each state and compare with a fresh store. Returns what happened to documents in all."""
    settings = {"sources": [{"type": "folder", "path": str(repository), "include": include}]}
    workspace = Workspace(root, str(root / "store"), **settings)
    seen: set[str] = set()
    happened: Counter[str] = Counter()
    for state in states:
        git(repository, "checkout", "--quiet", state)
        embedded = workspace.run()
        documents = workspace.pipeline()[0].runs.last()["stages"]["documents"]
        happened.update({name: documents[name] for name in ("new", "changed", "moved", "deleted")})
        scratch = Workspace(root, str(root / "scratch"), **settings)
        texts = scratch.run()
        assert sorted(embedded) == sorted(set(texts) - seen), f"{state}: not exactly the new texts"
        assert workspace.rows().equals(scratch.rows()), f"{state}: not what a build from scratch gives"
        seen.update(texts)
        shutil.rmtree(root / "scratch")
    return happened


def test_monthly_states_of_a_documentation_equal_builds_from_scratch(
    shared_data: Path, tmp_path: Path
) -> None:
    repository = clone(shared_data / "documents" / "cpp-docs.bundle", tmp_path / "cpp-docs")
    happened = replay(tmp_path, repository, ["/docs/build/*.md"], list(CPP_DOCS_STATES))
    assert happened["changed"] > 50


@pytest.mark.slow
def test_a_month_of_renames_and_deletions_equals_builds_from_scratch(
    shared_data: Path, tmp_path: Path
) -> None:
    repository = clone(shared_data / "documents" / "tldr-pages.bundle", tmp_path / "tldr")
    states = states_of_the_month(repository, 8)
    happened = replay(tmp_path, repository, ["/pages/*/[a-f]*.md"], states)
    assert happened["moved"] > 10
    assert happened["deleted"] > 5


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_monthly_states_of_the_whole_documentation_equal_builds_from_scratch(
    shared_data: Path, tmp_path: Path
) -> None:
    repository = clone(shared_data / "documents" / "cpp-docs.bundle", tmp_path / "cpp-docs")
    happened = replay(tmp_path, repository, ["**/*.md"], list(CPP_DOCS_STATES))
    assert happened["changed"] > 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_month_of_all_pages_equals_builds_from_scratch(shared_data: Path, tmp_path: Path) -> None:
    repository = clone(shared_data / "documents" / "tldr-pages.bundle", tmp_path / "tldr")
    happened = replay(tmp_path, repository, ["/pages/**/*.md"], states_of_the_month(repository, 24))
    assert happened["moved"] > 20
    assert happened["deleted"] > 10
