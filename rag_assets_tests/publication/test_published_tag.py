"""The tag ``published``, which LanceDB clients follow: slow, killed and simultaneous publishers leave it at the head."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rag_assets.cli import app
from rag_assets.errors import NotPublished
from rag_assets.index.candidate import Candidate
from rag_assets.index.table import open_table
from rag_assets.pipeline.status import status
from rag_assets.publication import log as log_module
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import publish, rollback
from rag_assets.publication.record import Publication
from rag_assets.publication.retention import retain
from rag_assets_tests.workspace import Workspace, document

FIRST = "# Penguins\n\nPenguins swim in cold water."
PATIENCE = 120  # seconds until a test that would never end is given up


def start(root: Path, store: str, **settings: Any) -> Workspace:
    workspace = Workspace(root, store, **settings)
    for number in range(3):
        workspace.write(f"d{number}.md", document(number, 1))
    workspace.write("a.md", FIRST)
    workspace.run()
    return workspace


def candidate(workspace: Workspace, text: str) -> Candidate:
    """A candidate with its report, ready to be published."""
    workspace.write("a.md", f"{FIRST} {text}")
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    found, _ = pipeline.candidate()
    pipeline.evaluate()
    return found


def publish_now(workspace: Workspace, found: Candidate) -> Publication:
    return publish(workspace.objects, workspace.corpus, found, reason="test", by="tests")


def roll_back(workspace: Workspace, to: int | None = None) -> Publication:
    return rollback(workspace.objects, workspace.name, to, reason="wrong figures", by="ana")


def head(workspace: Workspace) -> Publication:
    found = PublicationLog(workspace.objects, workspace.name).head()
    assert found is not None
    return found


def plain_text(workspace: Workspace) -> str:
    """What a LanceDB client without this package reads about penguins under the tag."""
    import lancedb

    objects = workspace.objects
    table = lancedb.connect(objects.uri("index"), storage_options=objects.storage_options or None).open_table(
        workspace.name
    )
    table.checkout("published")
    rows = table.search().where("document_id = 'a.md'").select(["text"]).to_list()
    return " ".join(row["text"] for row in rows)


@contextmanager
def stalled(
    monkeypatch: pytest.MonkeyPatch, publisher: Callable[[], Publication], *, killed: bool = False
) -> Iterator[tuple[Future[Publication], threading.Event]]:
    """A publisher that has read the tags and stands still before it moves ``published``, until the event is set.

    ``killed``: it ends when it has moved the tag, before it looks again.
    """
    reached, go, move = threading.Event(), threading.Event(), log_module._point

    def slow(*args: Any, **kwargs: Any) -> None:
        is_slow = threading.current_thread().name.startswith("slow")
        if is_slow:
            reached.set()
            assert go.wait(PATIENCE)
        move(*args, **kwargs)
        if is_slow and killed:
            raise KeyboardInterrupt("killed before it looked again")

    monkeypatch.setattr(log_module, "_point", slow)
    with ThreadPoolExecutor(1, thread_name_prefix="slow") as pool:
        running = pool.submit(publisher)
        try:
            assert reached.wait(PATIENCE)
            yield running, go
        finally:
            go.set()


def test_a_slow_publisher_does_not_undo_a_rollback(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = start(tmp_path, store_url)
    wrong = candidate(workspace, "Wrong.")
    with stalled(monkeypatch, lambda: publish_now(workspace, wrong)) as (running, go):
        assert roll_back(workspace).number == 3
        assert "Wrong." not in plain_text(workspace)
        go.set()
        assert running.result(PATIENCE).number == 2
    assert head(workspace).number == 3
    assert "Wrong." not in plain_text(workspace)
    assert status(workspace.objects, workspace.corpus)["tag_problem"] is None


def test_a_publisher_whose_version_was_cleaned_up_while_it_stood_still_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"), publication={"keep": 2})
    second = candidate(workspace, "Second.")
    with stalled(monkeypatch, lambda: publish_now(workspace, second)) as (running, go):
        for text in ("Third.", "Fourth.", "Fifth."):
            publish_now(workspace, candidate(workspace, text))
        assert retain(workspace.objects, workspace.corpus, timedelta(0)) == [1, 2, 3]
        go.set()
        assert running.result(PATIENCE).number == 2
    assert head(workspace).number == 5
    assert "Fifth." in plain_text(workspace)


def killed_after_a_late_move(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publication 2 is rolled back by 3; then the publisher of 2 moves the tag, and dies before it looks again."""
    wrong = candidate(workspace, "Wrong.")
    with (
        monkeypatch.context() as patch,
        stalled(patch, lambda: publish_now(workspace, wrong), killed=True) as (running, go),
    ):
        roll_back(workspace)
        go.set()
        assert isinstance(running.exception(PATIENCE), KeyboardInterrupt)
    assert "Wrong." in plain_text(workspace)


def test_a_publisher_that_was_killed_after_a_late_move_is_shown_and_the_next_run_repairs_it(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = start(tmp_path, store_url)
    killed_after_a_late_move(workspace, monkeypatch)
    found = status(workspace.objects, workspace.corpus)
    wrong = PublicationLog(workspace.objects, workspace.name).find(2).version
    assert (found["publication"], found["published_version"]) == (3, wrong)
    assert (
        f"is at version {wrong}, but publication 3 is version {head(workspace).version}"
        in found["tag_problem"]
    )
    monkeypatch.setenv("RAG_CORPORA", str(workspace.path.parent))
    monkeypatch.setenv("RAG_STORE", workspace.store)
    assert "the next run moves the tag" in CliRunner().invoke(app, ["status", workspace.name]).stdout
    workspace.run()
    assert (head(workspace).number, plain_text(workspace)) == (3, FIRST)
    assert status(workspace.objects, workspace.corpus)["tag_problem"] is None


def test_a_tag_that_is_lost_is_shown_and_made_anew(tmp_path: Path) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"))
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    table.tags.delete("published")
    found = status(workspace.objects, workspace.corpus)
    assert (found["published_version"], "is missing" in found["tag_problem"]) == (None, True)
    workspace.run()
    assert "Penguins" in plain_text(workspace)


def test_two_retentions_at_once_drop_the_same_publications_without_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"), publication={"keep": 2})
    for text in ("Second.", "Third.", "Fourth."):
        publish_now(workspace, candidate(workspace, text))
    meeting, drop = threading.Barrier(2), PublicationLog.drop

    def together(self: PublicationLog, numbers: list[int]) -> None:
        meeting.wait(PATIENCE)
        drop(self, numbers)

    monkeypatch.setattr(PublicationLog, "drop", together)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(retain, workspace.objects, workspace.corpus) for _ in range(2)]
        assert [run.result(PATIENCE) for run in runs] == [[1, 2], [1, 2]]
    assert sorted(PublicationLog(workspace.objects, workspace.name).versions()) == [3, 4]


def test_a_rollback_and_a_retention_that_drops_its_target_never_leave_a_publication_without_files(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = start(tmp_path, store_url, publication={"keep": 2})
    for text in ("Second.", "Third."):
        publish_now(workspace, candidate(workspace, text))
    claim = PublicationLog.claim

    def overtaken(self: PublicationLog, *args: Any) -> Publication:
        retain(workspace.objects, workspace.corpus, timedelta(0))
        return claim(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(PublicationLog, "claim", overtaken)
        assert roll_back(workspace, 1).number == 4
    assert plain_text(workspace) == FIRST
    assert len(workspace.rows()) == head(workspace).chunks
    with pytest.raises(NotPublished, match="publication 1 is not retained; retained: 2 to 4"):
        roll_back(workspace, 1)
    tags = PublicationLog(workspace.objects, workspace.name)
    assert sorted(tags.versions()) == [2, 3, 4]
