"""A damaged table or log is no outage: other publications are read, and the next run is as one on a whole store."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rag_assets import open_published
from rag_assets.errors import GateRefused
from rag_assets.index.lance_files import manifests, read_tags, tag_path
from rag_assets.index.table import IndexUnavailable
from rag_assets.pipeline.status import status
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import rollback
from rag_assets.publication.record import LOST
from rag_assets_tests.workspace import Workspace, document

DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "without fields": lambda path: path.write_bytes(b"{}"),
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
CUT_OFF = {name: damage for name, damage in DAMAGES.items() if name not in ("missing",)}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three publications; do not change them."""
    root = tmp_path_factory.mktemp("mending")
    made = Workspace(root, str(root / "store"))
    for number in range(4):
        made.write(f"d{number}.md", document(number, 2))
    made.run()
    for seed in (10, 20):
        made.write("d0.md", document(seed, 2))
        made.run()
    return made


@pytest.fixture
def workspace(original: Workspace, tmp_path: Path) -> Workspace:
    """The same corpus on a copy of its store."""
    made = copy.copy(original)
    made.store = str(tmp_path / "store")
    shutil.copytree(original.store, made.store)
    return made


def log(workspace: Workspace) -> PublicationLog:
    return PublicationLog(workspace.objects, workspace.name)


def file(workspace: Workspace, path: str) -> Path:
    return Path(workspace.store) / path


def manifest(workspace: Workspace, number: int) -> Path:
    version = log(workspace).versions()[number]
    return file(workspace, manifests(workspace.objects, workspace.name)[version].path)


def all_is_well(workspace: Workspace, original: Workspace) -> None:
    """A run on top makes no difference to a whole store, and nothing is left to be mended."""
    workspace.run()
    assert workspace.rows().equals(original.rows())
    found = log(workspace)
    assert open_published(workspace.name, workspace.store).publication == found.head()
    tag = found.published_tag()
    assert tag is not None
    assert tag.problem is None
    assert workspace.run() == []


@pytest.mark.parametrize("damage", CUT_OFF.values(), ids=CUT_OFF)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_tag_is_no_outage(
    workspace: Workspace, original: Workspace, damage: Callable[[Path], object], number: int
) -> None:
    damage(file(workspace, tag_path(workspace.name, f"pub-{number:08d}")))
    assert open_published(workspace.name, workspace.store).publication.number == 3
    assert [one.number for one in log(workspace).history()] == [1, 2, 3]
    assert status(workspace.objects, workspace.corpus)["publication"] == 3
    all_is_well(workspace, original)
    assert log(workspace).versions() == log(original).versions()


@damages
def test_a_damaged_tag_that_clients_follow_is_set_again(
    workspace: Workspace, original: Workspace, damage: Callable[[Path], object]
) -> None:
    damage(file(workspace, tag_path(workspace.name, "published")))
    assert open_published(workspace.name, workspace.store).publication.number == 3
    rollback(workspace.objects, workspace.name, 1, reason="", by="tests")
    assert read_tags(workspace.objects, workspace.name)["published"] == log(original).versions()[1]
    rollback(workspace.objects, workspace.name, 3, reason="", by="tests")
    all_is_well(workspace, original)


def test_a_damaged_tag_and_no_record_of_it_leave_the_others(
    workspace: Workspace, original: Workspace
) -> None:
    file(workspace, tag_path(workspace.name, "pub-00000003")).write_bytes(b"")
    for path in file(workspace, "corpora/handbook/publications").rglob("00000003*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert open_published(workspace.name, workspace.store).publication.number == 2
    all_is_well(workspace, original)


@damages
def test_a_lost_record_is_made_anew_from_what_else_tells_of_it(
    workspace: Workspace, original: Workspace, damage: Callable[[Path], object]
) -> None:
    rollback(workspace.objects, workspace.name, 2, reason="bad", by="tests")
    before = log(workspace).head()
    shutil.rmtree(file(workspace, "corpora/handbook/publications/claims"))
    for path in file(workspace, "corpora/handbook/publications").glob("0000000[34]-*.json"):
        damage(path)
    found = log(workspace).head()
    assert before is not None
    assert found is not None
    assert (found.kind, found.reason, found.spec, found.held) == ("rollback", LOST, before.spec, before.held)
    assert status(workspace.objects, workspace.corpus)["publication"] == 4
    history = log(workspace).history()
    assert [(one.number, one.kind) for one in history][2:] == [(3, "publish"), (4, "rollback")]
    assert workspace.run() == []
    assert log(workspace).head() == found, "what the rollback took back is still held"
    rollback(workspace.objects, workspace.name, 3, reason="", by="tests")
    all_is_well(workspace, original)


def test_a_publication_of_which_nothing_is_on_record_is_read_and_followed(
    workspace: Workspace, original: Workspace
) -> None:
    shutil.rmtree(file(workspace, "corpora/handbook/publications"))
    shutil.rmtree(file(workspace, "corpora/handbook/candidates"))
    reader = open_published(workspace.name, workspace.store)
    assert reader.search("index table", 3)
    assert [one.reason for one in log(workspace).history()] == [LOST] * 3
    assert status(workspace.objects, workspace.corpus)["publication"] == 3
    all_is_well(workspace, original)


@damages
def test_a_lost_version_gives_way_to_the_one_before(
    workspace: Workspace, original: Workspace, damage: Callable[[Path], object]
) -> None:
    damage(manifest(workspace, 3))
    with pytest.raises(IndexUnavailable, match="run again: a run mends a damaged index"):
        open_published(workspace.name, workspace.store)
    assert status(workspace.objects, workspace.corpus)["publication"] == 3
    with pytest.raises(GateRefused):  # whatever stops a run: readers are not left without an index
        refuse(workspace)
    reader = open_published(workspace.name, workspace.store)
    assert (reader.publication.number, reader.publication.kind) == (4, "rollback")
    workspace.configure()
    all_is_well(workspace, original)
    assert log(workspace).versions().keys() == {1, 2, 4, 5}


def refuse(workspace: Workspace) -> None:
    workspace.configure(gate={"max_removed_share": 0.0}, chunking={"max_tokens": 60})
    gone = workspace.documents / "d3.md"
    text = gone.read_text()
    gone.unlink()
    try:
        workspace.run()
    finally:
        gone.write_text(text)


@damages
def test_a_lost_version_of_an_old_publication_leaves_the_log(
    workspace: Workspace, original: Workspace, damage: Callable[[Path], object]
) -> None:
    damage(manifest(workspace, 1))
    assert open_published(workspace.name, workspace.store).publication.number == 3
    all_is_well(workspace, original)
    assert log(workspace).versions().keys() == {2, 3}


def test_where_no_version_is_left_the_message_says_what_helps_and_it_does(
    workspace: Workspace, original: Workspace
) -> None:
    for number in (1, 2, 3):
        manifest(workspace, number).write_bytes(b"")
    with pytest.raises(IndexUnavailable, match=r"delete that folder and run") as caught:
        workspace.run()
    folder = file(workspace, "index/handbook.lance")
    assert str(folder) in str(caught.value)
    shutil.rmtree(folder)
    all_is_well(workspace, original)


@damages
@pytest.mark.parametrize("kind", ["data/*.lance", "_indices/*/*.lance"])
def test_a_published_version_that_lost_files_is_built_anew(
    workspace: Workspace, original: Workspace, damage: Callable[[Path], object], kind: str
) -> None:
    for path in file(workspace, "index/handbook.lance").glob(kind):
        damage(path)
    all_is_well(workspace, original)
    head = log(workspace).head()
    assert head is not None
    assert (head.number, head.changes) == (4, {}), "the same content, built anew"


@damages
def test_a_damaged_candidate_is_built_again(
    workspace: Workspace, original: Workspace, damage: Callable[[Path], object]
) -> None:
    workspace.write("new.md", document(50, 2))
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    candidate, state = pipeline.candidate()
    assert state == "built"
    assert pipeline.candidate() == (candidate, "reused")
    for kind in ("record", "changes", "tag", "manifest"):
        path = {
            "record": f"corpora/handbook/candidates/{candidate.version:010d}.json",
            "changes": f"corpora/handbook/candidates/{candidate.version:010d}.parquet",
            "tag": tag_path(workspace.name, candidate.tag),
            "manifest": manifests(workspace.objects, workspace.name)[candidate.version].path,
        }[kind]
        damage(file(workspace, path))
        candidate, state = pipeline.candidate()
        assert state == "built", kind
    pipeline.evaluate()
    pipeline.publish(reason="", by="tests")
    assert open_published(workspace.name, workspace.store).publication.number == 4
    (workspace.documents / "new.md").unlink()
    all_is_well(workspace, original)
