"""Contract of Source: one behaviour suite, on a folder, on an S3 prefix and on pushed documents."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag_assets.errors import SourceObjectUnreadable, SourceObjectVanished, SourceUnavailable
from rag_assets.sources import FolderSource, PushSource, S3Source, Source
from rag_assets.store.objects import ObjectStore

LONG_AGO = 1_700_000_000


@dataclass(frozen=True)
class Place:
    """Somewhere to write documents to and a way to open it as a source."""

    write: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    open: Callable[..., Source]

    def versions(self) -> dict[str, str]:
        return {item.document_id: item.version for item in self.open().list()}


def folder_place(root: Path) -> Place:
    def write(path: str, data: bytes) -> None:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        time.sleep(0.01)  # longer than the tick of the change time
        target.write_bytes(data)
        os.utime(target, (LONG_AGO, LONG_AGO))

    return Place(write, lambda path: (root / path).unlink(), lambda **options: FolderSource(root, **options))


def s3_place(url: str) -> Place:
    objects = ObjectStore.open(url)
    return Place(objects.put, lambda path: objects.delete([path]), lambda **options: S3Source(url, **options))


def pushed_place(url: str | Path) -> Place:
    """Documents are pushed under the prefix of the source that is opened last."""
    objects = ObjectStore.open(url)

    def open(prefix: str = "") -> PushSource:
        if prefix:  # what was pushed for one prefix belongs to that alone
            for item in open().list():
                source = PushSource(objects, "corpus", prefix)
                source.put(f"{prefix}{item.document_id}", open().read(item), ".md")
        return PushSource(objects, "corpus", prefix)

    return Place(lambda path, data: open().put(path, data, ".md"), lambda path: open().delete(path), open)


@pytest.fixture(params=["folder", "s3", "pushed", "pushed to s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "folder":
            return folder_place(tmp_path)
        case "s3":
            return s3_place(request.getfixturevalue("s3_store_url"))
        case "pushed":
            return pushed_place(tmp_path)
    return pushed_place(request.getfixturevalue("s3_store_url"))


@pytest.fixture(params=["folder", "s3"])
def globbing(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return folder_place(tmp_path)
    return s3_place(request.getfixturevalue("s3_store_url"))


def test_every_listed_object_can_be_read_by_itself_and_by_its_uri(place: Place) -> None:
    place.write("a.md", b"one")
    place.write("b/c/d.md", b"")
    source = place.open()
    listed = {item.document_id: item for item in source.list()}
    assert {name: source.read(item) for name, item in listed.items()} == {"a.md": b"one", "b/c/d.md": b""}
    assert source.read(listed["a.md"].uri) == b"one"
    assert listed["a.md"].size == 3
    assert listed["a.md"].modified.tzinfo is not None


def test_an_empty_place_lists_nothing(place: Place) -> None:
    assert [*place.open().list()] == []


def test_the_prefix_stands_before_every_document_id(place: Place) -> None:
    place.write("a.md", b"one")
    (item,) = place.open(prefix="handbook/").list()
    assert item.document_id == "handbook/a.md"
    assert place.open(prefix="handbook/").read(item) == b"one"


def test_what_does_not_change_keeps_its_version(place: Place) -> None:
    place.write("a.md", b"one")
    assert place.versions() == place.versions()


@pytest.mark.parametrize("data", [b"two", b"three", b""])
def test_new_content_of_any_size_gives_a_new_version(place: Place, data: bytes) -> None:
    place.write("a.md", b"one")
    before = place.versions()
    place.write("a.md", data)
    assert place.versions()["a.md"] != before["a.md"]


def test_a_removed_object_is_no_longer_listed(place: Place) -> None:
    place.write("a.md", b"one")
    place.write("b.md", b"two")
    place.remove("a.md")
    assert place.versions().keys() == {"b.md"}


def test_an_object_that_goes_away_after_the_listing_has_vanished(place: Place) -> None:
    place.write("a.md", b"one")
    source = place.open()
    (item,) = source.list()
    place.remove("a.md")
    with pytest.raises(SourceObjectVanished, match=r"a\.md"):
        source.read(item)


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        (["**/*"], [], {"a.md", "b.txt", "docs/c.md", "docs/draft/d.md", "docs/draft/e.txt", ".hidden.md"}),
        (["*.md"], [], {"a.md", "docs/c.md", "docs/draft/d.md", ".hidden.md"}),
        (["/*.md"], [], {"a.md", ".hidden.md"}),
        (["docs/"], [], {"docs/c.md", "docs/draft/d.md", "docs/draft/e.txt"}),
        (["docs/**/*.md"], [], {"docs/c.md", "docs/draft/d.md"}),
        (["*.md", "!a.md"], [], {"docs/c.md", "docs/draft/d.md", ".hidden.md"}),
        (["**/*"], ["draft/", ".*"], {"a.md", "b.txt", "docs/c.md"}),
        (["**/*"], ["docs/*", "!docs/c.md"], {"a.md", "b.txt", "docs/c.md", ".hidden.md"}),
        (["**/*"], ["docs/", "!docs/c.md"], {"a.md", "b.txt", ".hidden.md"}),
        (["*.pdf"], [], set()),
    ],
)
def test_globs_follow_gitignore_syntax(
    globbing: Place, include: list[str], exclude: list[str], taken: set[str]
) -> None:
    paths = ("a.md", "b.txt", "docs/c.md", "docs/draft/d.md", "docs/draft/e.txt", ".hidden.md")
    for path in paths:
        globbing.write(path, path.encode())
    source = globbing.open(include=include, exclude=exclude)
    assert {item.document_id for item in source.list()} == taken
    assert {path for path in paths if source.find(path)} == taken


def test_version_control_folders_are_never_taken(globbing: Place) -> None:
    paths = (".git/config", "a/.svn/entries", "a/.hg/x/y", ".gitignore", "a/b.md")
    for path in paths:
        globbing.write(path, b"x")
    assert globbing.versions().keys() == {".gitignore", "a/b.md"}
    assert {path for path in paths if globbing.open().find(path)} == {".gitignore", "a/b.md"}


@pytest.mark.parametrize("name", ["with space.md", "ümläut.md", "100%25.md", "a#b.md", "q?.md", "日本.md"])
def test_any_name_can_be_listed_and_read(place: Place, name: str) -> None:
    place.write(name, b"x")
    source = place.open()
    (item,) = source.list()
    assert item.document_id == name
    assert source.read(item) == b"x"
    assert source.read(item.uri) == b"x"
    assert source.find(name) == item


def test_one_document_is_found_as_the_listing_gives_it(place: Place) -> None:
    for path in ("a.md", "b/c/d.md"):
        place.write(path, path.encode())
    source = place.open(prefix="handbook/")
    listed = [*source.list()]
    assert [source.find(item.document_id) for item in listed] == listed


@pytest.mark.parametrize(
    "name", ["b.md", "", "/a.md", "./a.md", "x/../a.md", "a.md/", "a.md/b.md", "../a.md", "a\0.md", "a" * 300]
)
def test_what_the_listing_does_not_hold_is_not_found(place: Place, name: str) -> None:
    place.write("a.md", b"x")
    assert place.open().find(name) is None
    assert place.open(prefix="handbook/").find("a.md") is None


def test_a_removed_document_is_not_found(place: Place) -> None:
    place.write("a.md", b"x")
    place.remove("a.md")
    assert place.open().find("a.md") is None


def test_a_document_may_lie_below_the_name_of_another_when_it_was_pushed(tmp_path: Path) -> None:
    source = PushSource(ObjectStore.open(tmp_path), "corpus", "")
    for name in ("a", "a/b", "a/b/c", "a+/b", "a=/b"):
        source.put(name, name.encode(), ".md")
    assert {item.document_id: source.read(item) for item in source.list()} == {
        name: name.encode() for name in ("a", "a/b", "a/b/c", "a+/b", "a=/b")
    }


def test_a_pushed_document_has_one_content_whatever_its_format_was(tmp_path: Path) -> None:
    source = PushSource(ObjectStore.open(tmp_path), "corpus", "")
    source.put("a", b"<p>one</p>", ".html")
    source.put("a", b"two", ".md")
    (item,) = source.list()
    assert item.uri.endswith(".md")
    assert source.find("a") == item


def test_a_uri_cannot_reach_beyond_the_source(place: Place) -> None:
    place.write("a.md", b"x")
    for uri in ("../secret", "/etc/hostname", "%2e%2e/secret", "s3://elsewhere/key"):
        with pytest.raises((SourceObjectUnreadable, SourceObjectVanished)):
            place.open().read(uri)


def test_a_modification_just_before_the_listing_is_looked_at_again(tmp_path: Path) -> None:
    """Same size, same time stamp: no stat would tell the second edit from the first."""
    file = tmp_path / "a.md"
    file.write_bytes(b"one")
    first, second = ([*FolderSource(tmp_path).list()] for _ in range(2))
    assert first[0].version != second[0].version
    past = (datetime.now(UTC) - timedelta(seconds=5)).timestamp()
    os.utime(file, (past, past))
    third, fourth = ([*FolderSource(tmp_path).list()] for _ in range(2))
    assert third[0].version == fourth[0].version


def test_an_edit_that_keeps_size_and_modification_time_is_noticed(place: Place) -> None:
    """Build tools fix modification times, and ``cp -p`` preserves them."""
    place.write("a.md", b"one")
    before = place.versions()
    place.write("a.md", b"eno")
    assert place.versions() != before


def test_links_are_followed_inside_the_folder_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret"
    (root / "v2").mkdir(parents=True)
    secret.mkdir()
    (secret / "s.md").write_bytes(b"secret")
    (root / "v2" / "a.md").write_bytes(b"one")
    os.utime(root / "v2" / "a.md", (LONG_AGO, LONG_AGO))
    (root / "latest").symlink_to("v2")
    (root / "b.md").symlink_to("v2/a.md")
    (root / "out").symlink_to(secret)
    (root / "out.md").symlink_to(secret / "s.md")
    (root / "dangling.md").symlink_to("nowhere")
    (root / "v2" / "up").symlink_to(root)
    (root / "self").symlink_to("self")
    source = FolderSource(root)
    listed = {item.document_id: item for item in source.list()}
    assert listed.keys() == {"v2/a.md", "latest/a.md", "b.md"}
    assert {name: source.find(name) for name in listed} == listed
    for name in ("out/s.md", "out.md", "dangling.md", "self", "v2/up/b.md", "v2/up/v2/a.md"):
        assert source.find(name) is None
    assert source.read(listed["b.md"]) == b"one"
    assert "2 links" in caplog.text
    assert "out.md" in caplog.text
    with pytest.raises(SourceObjectUnreadable, match="outside"):
        source.read("out.md")


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.md").write_bytes(b"x")
    (tmp_path / "root").symlink_to("real")
    (item,) = FolderSource(tmp_path / "root").list()
    assert FolderSource(tmp_path / "root").read(item) == b"x"


def test_pipes_and_folders_are_no_documents_even_when_they_take_a_files_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "a.md").write_bytes(b"x")
    source = FolderSource(tmp_path)
    (item,) = source.list()
    for replace in (os.mkfifo, os.mkdir):
        (tmp_path / "a.md").unlink()
        replace(tmp_path / "a.md")
        if replace is os.mkfifo:
            with pytest.raises(SourceObjectVanished):
                source.read(item)
    with pytest.raises((SourceObjectVanished, SourceUnavailable)):
        source.read(item)


def test_a_name_that_is_not_unicode_has_an_id_and_can_be_read(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.md", "wb") as file:
        file.write(b"x")
    source = FolderSource(tmp_path)
    (item,) = source.list()
    assert item.document_id == "caf\\xe9.md"
    item.uri.encode("ascii")
    assert source.read(item.uri) == b"x"


def test_a_folder_that_cannot_be_listed_fails_the_listing_instead_of_shortening_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceUnavailable, match="missing"):
        [*FolderSource(tmp_path / "missing").list()]
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.md").write_bytes(b"x")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> object:  # injected: permissions do not stop root
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(SourceUnavailable, match="would be deleted from the index"):
        [*FolderSource(tmp_path).list()]


def test_a_file_without_permission_is_unreadable_and_a_failing_disk_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.md").write_bytes(b"x")
    source = FolderSource(tmp_path)
    (item,) = source.list()
    for fault, expected in (
        (PermissionError(13, "Permission denied"), SourceObjectUnreadable),
        (OSError(5, "Input/output error"), SourceUnavailable),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", lambda *_, fault=fault, **__: (_ for _ in ()).throw(fault))
            with pytest.raises(expected, match=r"a\.md.*error|a\.md.*denied"):
                source.read(item)


def test_a_folder_that_is_gone_as_a_whole_does_not_make_its_documents_vanish(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.md").write_bytes(b"x")
    source = FolderSource(root)
    (item,) = source.list()
    root.rename(tmp_path / "unmounted")
    with pytest.raises(SourceUnavailable):
        source.read(item)


def test_a_bucket_that_is_missing_is_not_an_empty_source(rclone_store_url: str) -> None:
    with pytest.raises(SourceUnavailable, match="no such bucket"):
        [*S3Source("s3://nobucket/docs").list()]
