"""Retention: ``keep`` publications stay readable, the rest goes, and nobody who reads is hurt."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
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
from rag_assets.store.objects import ObjectStore
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


def written_at(workspace: Workspace, seconds_ago: float) -> None:
    """Have every manifest of the table say that it was written so long ago: by a machine whose clock is wrong.

    The store goes on telling when it was really written.
    """
    objects = workspace.objects
    for path in [info.path for info in objects.list(f"index/{workspace.name}.lance/_versions")]:
        if not path.endswith(".manifest"):
            continue
        data = objects.get(path)
        now = int(time.time())
        for then in range(now - 600, now + 1):
            # Two fields of the same length: a timestamp's seconds as a protobuf varint.
            data = data.replace(varint(then), varint(int(then - seconds_ago)))
        objects.put(path, data)


def varint(number: int) -> bytes:
    """Field 1 of a protobuf message."""
    parts = [number >> shift & 0x7F for shift in range(0, 35, 7)]
    return b"\x08" + bytes([part | 0x80 for part in parts[:-1]] + parts[-1:])


def versions(workspace: Workspace) -> set[int]:
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    return {int(found["version"]) for found in table.list_versions()}


def days(workspace: Workspace) -> list[float]:
    """How old the versions are by their own account."""
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    return sorted((time.time() - found["timestamp"].timestamp()) / 86_400 for found in table.list_versions())


def test_a_young_version_stays_that_a_machine_with_a_slow_clock_wrote(store_url: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, store_url, **KEEP)
    workspace.write("d0.md", document(0, 1))
    edited(workspace, "cold")
    edited(workspace, "warm")
    written_at(workspace, 3 * 86_400)
    assert 2.9 < days(workspace)[0] < 3.1, "the manifests have not the form that this test knows"
    before = versions(workspace)
    assert retain(workspace.objects, workspace.corpus) == []
    assert versions(workspace) == before
    retain(workspace.objects, workspace.corpus, timedelta(0))
    assert versions(workspace) < before, "without a grace, what no tag names goes"


def test_an_old_version_goes_that_a_machine_with_a_fast_clock_wrote(workspace: Workspace) -> None:
    edited(workspace, "warm")
    written_at(workspace, -3 * 86_400)
    folder = Path(workspace.store) / "index" / f"{workspace.name}.lance" / "_versions"
    day_old = time.time() - 25 * 3600
    for path in folder.iterdir():
        os.utime(path, (day_old, day_old))
    before, tagged = versions(workspace), {tag["version"] for tag in tags(workspace).values()}
    retain(workspace.objects, workspace.corpus)
    assert versions(workspace) == {*tagged, max(before)} != before
    assert len(workspace.rows()) == 4


def test_files_of_a_build_in_progress_survive_a_machine_whose_clock_is_far_ahead(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lance tells them by their age, on the clock of the machine that cleans up: over seven days old, they go."""
    edited(workspace, "warm")
    table = Path(workspace.store) / "index" / f"{workspace.name}.lance"
    in_progress = table / "data" / "00000000000000000000000000000000000000000000000000.lance"
    in_progress.write_bytes(b"rows of a build in progress")
    now = time.time() - 30 * 86_400
    for path in (table / "_versions").iterdir():
        os.utime(path, (now - 10 * 86_400,) * 2)
    os.utime(in_progress, (now, now))
    with monkeypatch.context() as patch:  # thirty days behind this machine, which is the same
        patch.setattr(ObjectStore, "now", lambda self: datetime.fromtimestamp(now, UTC))
        retain(workspace.objects, workspace.corpus)
    assert in_progress.exists()
    retain(workspace.objects, workspace.corpus)
    assert not in_progress.exists(), "a month old, and of no version"


def test_files_of_a_build_in_progress_survive_another_build_by_such_a_machine(workspace: Workspace) -> None:
    in_progress = Path(workspace.store) / "index" / f"{workspace.name}.lance" / "data" / f"{0:050}.lance"
    in_progress.write_bytes(b"rows of a build in progress")
    os.utime(in_progress, (time.time() - 8 * 86_400,) * 2)  # as a clock that is eight days ahead has it
    pipeline, _ = workspace.pipeline()
    workspace.write("a.md", "# Penguins\n\nPenguins swim in warm water.")
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    assert pipeline.candidate()[1] == "built"
    assert in_progress.exists()


def test_the_store_tells_the_time(store_url: str) -> None:
    objects = ObjectStore.open(store_url)
    first = objects.now()
    objects.put("a", b"1")
    found = objects.info("a")
    assert found is not None
    assert first <= found.modified <= objects.now()


def test_what_a_killed_rollback_held_is_let_go_after_a_day(workspace: Workspace) -> None:
    edited(workspace, "warm")
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    for name in ("hold-old", "hold-young"):
        table.tags.create(name, 1)
    folder = Path(workspace.store) / "index" / f"{workspace.name}.lance" / "_refs" / "tags"
    os.utime(folder / "hold-old.json", (time.time() - 25 * 3600,) * 2)
    retain(workspace.objects, workspace.corpus)
    assert "hold-old" not in tags(workspace) and "hold-young" in tags(workspace)
