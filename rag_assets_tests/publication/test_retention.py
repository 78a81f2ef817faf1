"""Retention: ``keep`` publications stay readable, the rest goes, and nobody who reads is hurt."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rag_assets import open_published
from rag_assets.errors import NotPublished
from rag_assets.index.table import IndexUnavailable, open_table
from rag_assets.publication import retention
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import rollback
from rag_assets.publication.retention import CANDIDATE_PREFIX, retain
from rag_assets_tests.workspace import Workspace, document

KEEP = {"publication": {"keep": 2}}


def edited(workspace: Workspace, word: str) -> None:
    workspace.write("a.md", f"# Penguins\n\nPenguins swim in {word} water.")
    workspace.run()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path, str(tmp_path / "store"), **KEEP)
    for number in range(3):
        found.write(f"d{number}.md", document(number, 1))
    edited(found, "cold")
    return found


def log(workspace: Workspace) -> PublicationLog:
    return PublicationLog(workspace.objects, workspace.name)


def tags(workspace: Workspace) -> dict[str, Any]:
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    return dict(table.tags.list())


def test_as_many_publications_are_kept_as_configured_and_the_log_keeps_all(workspace: Workspace) -> None:
    for word in ("warm", "blue", "deep"):
        edited(workspace, word)
    assert sorted(log(workspace).versions()) == [3, 4]
    assert [publication.number for publication in log(workspace).history()] == [1, 2, 3, 4]
    with pytest.raises(NotPublished, match="publication 1 is not retained; retained: 3 to 4"):
        rollback(workspace.objects, workspace.name, 1, reason="", by="ana")
    assert rollback(workspace.objects, workspace.name, 3, reason="", by="ana").number == 5


def test_candidates_tags_go_with_their_publication(workspace: Workspace) -> None:
    edited(workspace, "warm")
    assert not [name for name in tags(workspace) if name.startswith(CANDIDATE_PREFIX)]
    assert set(tags(workspace)) == {"published", "pub-00000001", "pub-00000002"}


def test_a_reader_of_a_dropped_version_goes_on_within_the_grace_period(workspace: Workspace) -> None:
    reader = open_published(workspace.name, workspace.store)
    for word in ("warm", "blue", "deep"):
        edited(workspace, word)
    assert "cold" in reader.search("penguins", 1)[0].text
    assert reader.table().to_lance().count_rows() == 4


def test_a_reader_whose_version_was_cleaned_up_recovers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_published(workspace.name, workspace.store)
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    old = reader.publication.version
    for word in ("warm", "blue", "deep"):
        edited(workspace, word)
    with pytest.raises(IndexUnavailable):
        open_table(workspace.objects, workspace.name, at=old)
    assert "deep" in reader.search("penguins", 1)[0].text
    assert reader.publication.number == 4
    late = open_published(workspace.name, workspace.store)
    assert late.search("penguins", 1)[0].document_id == "a.md"


def test_kept_versions_survive_every_clean_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    edited(workspace, "warm")
    edited(workspace, "blue")
    reader = open_published(workspace.name, workspace.store)
    before = reader.table().to_arrow().num_rows
    rollback(workspace.objects, workspace.name, 2, reason="", by="ana")
    assert retain(workspace.objects, workspace.corpus) == [2], "its version stays, under its new number"
    assert reader.table().to_arrow().num_rows == before
    assert any("warm" in text for text in workspace.rows()["text"])
    workspace.configure(**KEEP, embedder={"type": "static", "document_prefix": "passage: "})
    workspace.run()
    assert any("blue" in text for text in workspace.rows()["text"])
    assert sorted(log(workspace).versions()) == [4, 5]


def test_old_tagged_versions_do_not_stop_a_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """LanceDB's optimize() raises on them by default, before it updates any index."""
    monkeypatch.setattr(retention, "GRACE", timedelta(0))
    workspace.configure(publication={"keep": 20})
    for word in ("warm", "blue", "deep", "calm"):
        edited(workspace, word)
        table = open_table(workspace.objects, workspace.name, at="published")
        assert table is not None
        for index in table.list_indices():
            stats = table.index_stats(index.name)
            assert stats is not None
            assert stats.num_unindexed_rows == 0
    assert sorted(log(workspace).versions()) == [1, 2, 3, 4, 5]


def test_nothing_to_retain_is_nothing_to_do(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    assert retain(workspace.objects, workspace.corpus) == []
