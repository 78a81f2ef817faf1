"""What a number stood for may be lost and the number given out anew: nothing is told by its number alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_assets import open_published
from rag_assets.errors import NotPublished
from rag_assets.index.candidate import CandidateStore
from rag_assets.index.stage import spec_of
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import publish, rollback
from rag_assets.publication.record import Publication
from rag_assets.store.erasures import Demand, ErasureLog
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.workspace import Workspace, document

KEY = ["document_id", "chunk_id", "text", "title", "metadata", "position"]


def start(root: Path, store: str, **settings: Any) -> Workspace:
    workspace = Workspace(root, store, **settings)
    for number in range(6):
        workspace.write(f"d{number}.md", document(number, 2))
    workspace.run()
    return workspace


def delete(workspace: Workspace, folder: str) -> None:
    objects = workspace.objects
    objects.delete([info.path for info in objects.list(folder)])


def lose_snapshots(workspace: Workspace, *numbers: int) -> None:
    folder = f"corpora/{workspace.name}/snapshots"
    assert all(workspace.objects.find(f"{folder}/{number:08d}.json") for number in numbers)
    workspace.objects.delete(f"{folder}/{number:08d}.json" for number in numbers)


def head(workspace: Workspace) -> Publication:
    found = PublicationLog(workspace.objects, workspace.name).head()
    assert found is not None
    return found


def built_anew(workspace: Workspace, root: Path) -> pl.DataFrame:
    """What an empty store would be filled with from the same documents."""
    other = Workspace(root, str(root / "store"))
    for path in workspace.documents.iterdir():
        other.write(path.name, path.read_text())
    other.run()
    return other.rows().select(KEY)


@pytest.mark.parametrize("full_verify_rows", [0, 1000])
def test_a_lost_snapshot_whose_number_another_one_got_is_not_taken_for_what_is_published(
    store_url: str, tmp_path: Path, full_verify_rows: int
) -> None:
    workspace = start(tmp_path, store_url)
    workspace.write("d0.md", document(100, 2))
    workspace.run()
    assert head(workspace).snapshot == 2
    lose_snapshots(workspace, 2)
    workspace.write("d1.md", document(101, 2))
    (workspace.documents / "d2.md").unlink()
    workspace.run(full_verify_rows=full_verify_rows)
    now = head(workspace)
    assert (now.number, now.snapshot) == (3, 2), "the number of the lost snapshot is in use again"
    assert workspace.rows().select(KEY).equals(built_anew(workspace, tmp_path / "anew"))
    assert dict(now.changes) == {"changed": 5, "removed": 1}, (
        "what is not known to be the same is told as changed"
    )
    workspace.write("d1.md", document(102, 2))
    workspace.run()
    assert (head(workspace).number, dict(head(workspace).changes)) == (4, {"changed": 1})


def test_a_publication_whose_snapshot_was_lost_can_be_rolled_back_and_rolled_back_to(tmp_path: Path) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"))
    first = workspace.rows()
    workspace.write("d0.md", document(100, 2))
    workspace.write("new.md", document(101, 2))
    workspace.run()
    second = workspace.rows()
    lose_snapshots(workspace, 1, 2)
    back = rollback(workspace.objects, workspace.name, None, reason="", by="ana")
    assert dict(back.changes) == {"changed": 6, "removed": 1}
    assert workspace.rows().equals(first)
    again = rollback(workspace.objects, workspace.name, 2, reason="", by="ana")
    assert dict(again.changes) == {"changed": 6, "added": 1}
    assert workspace.rows().equals(second)


def test_a_reader_notices_a_corpus_that_was_deleted_and_built_anew_to_the_same_number(
    store_url: str, tmp_path: Path
) -> None:
    workspace = start(tmp_path, store_url)
    reader = open_published(workspace.name, workspace.store)
    assert not reader.refresh()
    delete(workspace, f"index/{workspace.name}.lance")
    delete(workspace, f"corpora/{workspace.name}")
    workspace.write("d0.md", "# Penguins\n\nPenguins swim in cold water.")
    workspace.run()
    assert head(workspace).number == reader.publication.number == 1
    assert reader.refresh()
    assert "Penguins" in reader.search("Which birds swim?", 1)[0].text
    assert not reader.refresh()


def test_an_index_that_was_lost_alone_is_built_and_published_again(store_url: str, tmp_path: Path) -> None:
    workspace = start(tmp_path, store_url)
    for number in range(3):
        workspace.write("d0.md", document(100 + number, 2))
        workspace.run()
    rows, before = workspace.rows(), head(workspace)
    delete(workspace, f"index/{workspace.name}.lance")
    workspace.run()
    assert head(workspace).version < before.version, "the records of the lost table name later versions"
    assert workspace.rows().select(KEY).equals(rows.select(KEY))
    assert [one.candidate for one in history(workspace)] == [head(workspace).candidate]
    # A refused or interrupted run leaves a candidate; the next one finds it.
    workspace.write("d1.md", document(200, 2))
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    built, state = pipeline.candidate()
    assert (state, pipeline.candidate()) == ("built", (built, "reused"))
    workspace.run()
    assert head(workspace).candidate == built.tag
    for number in range(3):
        workspace.write("d0.md", document(300 + number, 2))
        workspace.run()
    assert [one.number for one in history(workspace)] == [1, 2, 3, 4, 5]
    assert all(one.candidate != before.candidate for one in history(workspace))


def history(workspace: Workspace) -> list[Publication]:
    return PublicationLog(workspace.objects, workspace.name).history()


def test_the_records_of_candidates_and_publications_are_found_by_their_tag(tmp_path: Path) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"))
    published = head(workspace)
    candidates = CandidateStore(workspace.objects, workspace.name)
    assert candidates.find(published.version, published.candidate) is not None
    assert candidates.find(published.version, "cand-of-another-table") is None
    delete(workspace, f"corpora/{workspace.name}/candidates")
    workspace.run()
    assert head(workspace) == published, "an unchanged corpus needs no record of its candidate"
    workspace.write("d0.md", document(100, 2))
    workspace.run()
    assert head(workspace).number == 2


@contextmanager
def killed_between_claim_and_record() -> Iterator[None]:
    """Whoever publishes is killed after its tag stands, before the second time that it writes what it claims."""
    put, puts = ObjectStore.put, []

    def dying(self: ObjectStore, path: str, data: Any) -> None:
        if "/publications/" in path and path.endswith(".json"):
            puts.append(path)
            if len(puts) == 2:
                raise KeyboardInterrupt("killed between the claim and its record")
        put(self, path, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "put", dying)
        yield


def test_the_record_that_a_killed_publisher_left_does_not_speak_for_one_that_was_killed_after_its_claim(
    store_url: str, tmp_path: Path
) -> None:
    workspace = start(tmp_path, store_url)
    workspace.write("d0.md", document(100, 2))
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    candidate, _ = pipeline.candidate()
    pipeline.evaluate()

    def publish_and_die(reason: str, at: str) -> None:
        def die(*args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt("killed")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(at, die)
            with pytest.raises(KeyboardInterrupt):
                publish(workspace.objects, workspace.corpus, candidate, reason=reason, by=reason)

    publish_and_die("before its claim", "rag_assets.publication.log.PublicationLog.flush")
    assert [one.number for one in history(workspace)] == [1]
    with killed_between_claim_and_record(), pytest.raises(KeyboardInterrupt):
        publish(workspace.objects, workspace.corpus, candidate, reason="the winner", by="winner")
    assert (head(workspace).number, head(workspace).reason, head(workspace).by) == (2, "the winner", "winner")
    workspace.run()
    assert [one.reason for one in history(workspace)] == ["test", "the winner"]


def test_a_publication_of_a_lost_table_does_not_speak_for_one_of_the_same_number_and_version(
    tmp_path: Path,
) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"))
    lost = head(workspace)
    delete(workspace, f"index/{workspace.name}.lance")
    workspace.write("d0.md", document(100, 2))
    with killed_between_claim_and_record(), pytest.raises(KeyboardInterrupt):
        workspace.run()
    now = head(workspace)
    assert (now.number, now.version) == (lost.number, lost.version)
    assert (now.spec, now.candidate) != (lost.spec, lost.candidate)
    context = workspace.pipeline()[0].context
    assert now.spec == spec_of(context, context.snapshots.latest())


def test_an_erased_document_is_looked_for_in_the_table_of_a_publication_without_snapshot(
    tmp_path: Path,
) -> None:
    workspace = start(tmp_path, str(tmp_path / "store"))
    (workspace.documents / "d5.md").unlink()
    workspace.run()
    ErasureLog(workspace.objects, workspace.name).commit({"d5.md": Demand("e1", datetime.now(UTC), 2)})
    lose_snapshots(workspace, 1)
    with pytest.raises(
        NotPublished, match=r"publication 1 holds 1 documents that have been erased since, 'd5.md'"
    ):
        rollback(workspace.objects, workspace.name, 1, reason="", by="ana")
