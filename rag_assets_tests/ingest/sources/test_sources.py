"""Contract of Source: one behaviour suite, on a folder, on an S3 prefix and on pushed documents."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from rag_assets.errors import SourceObjectUnreadable, SourceObjectVanished, SourceUnavailable
from rag_assets.ingest.parsing.reading import read_batch
from rag_assets.ingest.sources import FolderSource, PushSource, S3Source, Source
from rag_assets.ingest.sources.push import can_hold, why_no_place
from rag_assets.store.objects import ObjectStore

LONG_AGO = 1_700_000_000
SWAP = """
import os, sys
place, target = sys.argv[1:]
os.symlink(target, place + ".link")
while True:
    os.rename(place, place + ".kept")
    os.rename(place + ".link", place)
    os.rename(place, place + ".link")
    os.rename(place + ".kept", place)
"""


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


@pytest.mark.parametrize(("limit", "read"), [(0, b"o"), (2, b"one"), (3, b"one"), (None, b"one"), (1, b"on")])
def test_no_more_is_read_than_shows_that_an_object_is_too_large(
    place: Place, limit: int | None, read: bytes
) -> None:
    place.write("a.md", b"one")
    source = place.open()
    (item,) = source.list()
    assert source.read(item, limit) == read


def test_an_object_that_grew_after_the_listing_is_oversized(place: Place) -> None:
    place.write("a.md", b"one")
    place.write("b.md", b"two")
    source = place.open()
    listed = sorted(source.list(), key=lambda item: item.document_id)
    place.write("a.md", b"x" * 200_000)
    (grown, same), gone = read_batch([("", source, item) for item in listed], 100_000)
    assert gone == []
    assert grown.rejection is not None and grown.rejection.reason == "oversized"
    assert grown.data is None
    assert (same.rejection, same.data) == (None, b"two")


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


def test_files_that_were_not_pushed_are_left_alone(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    source = PushSource(objects, "corpus", "cms/")
    source.put("cms/a.md", b"one", ".md")
    kept = next(source.list())
    for name in ("notes.txt", "a.md=/notes.txt", "a.md=/content.md.bak", "stray/content.md", "b.md="):
        objects.put(f"corpora/corpus/pushed/cms%2F/{name}", b"stray")
    assert [*source.list()] == [kept]
    assert source.find("cms/a.md") == kept
    assert source.read(kept) == b"one"


@pytest.mark.parametrize(
    ("prefix", "document", "why"),
    [
        ("cms", "cms/x.md", "lacks its slash: write prefix: cms/"),
        ("cms/", "cms/", "nothing follows the prefix 'cms/'"),
        ("cms/", "other/x.md", "does not begin with the prefix 'cms/'"),
        ("cms/", "cms/a//b.md", "an empty part"),
        ("cms/", "cms/a/../b.md", "'..'"),
        ("cms/", f"cms/{'a' * 201}.md", "has 204 bytes; 200 are allowed"),
        ("cms/", f"cms/{'ä' * 40}.md", "has 243 bytes; 200 are allowed"),
        ("cms/", "cms/" + "/".join(["a" * 150] * 5), "bytes; 600 are allowed"),
        ("c" * 201, "c" * 201 + "/a.md", "lacks its slash"),
        ("c" * 199 + "/", "c" * 199 + "/a.md", "has 202 bytes"),
        ("", "a.md", None),
        ("cms/", "cms/a/b.md", None),
        ("cms-", "cms-a.md", None),
    ],
)
def test_an_id_without_a_place_is_told_why(prefix: str, document: str, why: str | None) -> None:
    found = why_no_place(prefix, document)
    assert found is None if why is None else found is not None and why in found
    assert can_hold(prefix, document) == (why is None)


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


def in_place_of(file: Path, kind: str) -> None:
    """Put something else in the place of a file."""
    file.unlink()
    match kind:
        case "nothing":
            pass
        case "folder":
            file.mkdir()
        case "full folder":
            file.mkdir()
            (file / "b.md").write_bytes(b"x")
        case "pipe":
            os.mkfifo(file)
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound, chdir(file.parent):
                bound.bind(file.name)
        case "loop":
            file.symlink_to(file.name)
        case "dangling link":
            file.symlink_to("nowhere")
        case "link to a folder":
            file.symlink_to(".")


@pytest.mark.parametrize(
    "kind",
    ["nothing", "folder", "full folder", "pipe", "socket", "loop", "dangling link", "link to a folder"],
)
@pytest.mark.parametrize("path", ["a.md", "b/a.md"])
def test_a_file_whose_place_was_taken_after_the_listing_has_vanished(
    tmp_path: Path, kind: str, path: str
) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(b"x")
    source = FolderSource(tmp_path)
    (item,) = source.list()
    in_place_of(tmp_path / path, kind)
    with pytest.raises(SourceObjectVanished, match=r"a\.md"):
        source.read(item)
    assert path not in {found.document_id for found in source.list()}


@pytest.mark.parametrize("kind", ["nothing", "pipe", "socket", "loop", "dangling link"])
def test_a_file_whose_folder_was_replaced_after_the_listing_has_vanished(tmp_path: Path, kind: str) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.md").write_bytes(b"x")
    source = FolderSource(tmp_path)
    (item,) = source.list()
    (tmp_path / "b" / "a.md").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "b").touch()
    in_place_of(tmp_path / "b", kind)
    with pytest.raises(SourceObjectVanished, match=r"a\.md"):
        source.read(item)


def test_pipes_are_no_documents(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert [*FolderSource(tmp_path).list()] == []


def test_looking_at_what_is_no_file_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    source = FolderSource(tmp_path)
    before = len([*Path("/proc/self/fd").iterdir()])
    for uri in ("b", "c", "b/c", "", "%00") * 5:
        with pytest.raises(SourceObjectVanished):
            source.read(uri)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


@pytest.mark.parametrize("swapped", ["a.md", "b"])
def test_a_link_that_takes_the_place_of_what_is_read_never_leads_out_of_the_folder(
    tmp_path: Path, swapped: str
) -> None:
    """Another process swaps a file, or the folder that it lies in, for a link to the outside and back."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder, text in ((root, b"mine"), (root / "b", b"mine"), (outside, b"foreign")):
        folder.mkdir()
        (folder / "a.md").write_bytes(text)
    target = outside / "a.md" if swapped == "a.md" else outside
    source = FolderSource(root)
    with subprocess.Popen([sys.executable, "-c", SWAP, str(root / swapped), str(target)]) as swapper:
        try:
            read = {"mine": 0, "foreign": 0, "refused": 0}
            until = time.monotonic() + 20
            while min(read["mine"], read["refused"]) < 1500 and time.monotonic() < until:
                try:
                    read[source.read("a.md" if swapped == "a.md" else "b/a.md").decode()] += 1
                except (SourceObjectVanished, SourceObjectUnreadable):
                    read["refused"] += 1
        finally:
            swapper.kill()
    assert read["foreign"] == 0
    assert min(read["mine"], read["refused"]) > 100, "the swapping was not met"


def test_a_link_that_moves_inside_the_folder_can_be_read_at_any_moment(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.md").write_bytes(version.encode())
    (tmp_path / "latest").symlink_to("v1")
    source = FolderSource(tmp_path)
    stop = threading.Event()

    def move() -> None:
        for number in count():
            (tmp_path / "next").symlink_to(f"v{1 + number % 2}")
            (tmp_path / "next").rename(tmp_path / "latest")
            if stop.is_set():
                return

    mover = threading.Thread(target=move)
    mover.start()
    try:
        assert {source.read("latest/a.md") for _ in range(500)} <= {b"v1", b"v2"}
    finally:
        stop.set()
        mover.join()


def test_links_that_stay_inside_are_followed_however_they_are_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "b" / "c").mkdir(parents=True)
    (root / "b" / "c" / "a.md").write_bytes(b"x")
    (tmp_path / "alias").symlink_to("root")
    links = {
        "relative.md": "b/c/a.md",
        "absolute.md": root / "b/c/a.md",
        "around.md": "../root/b/c/a.md",
        "alias.md": tmp_path / "alias/b/c/a.md",
        "twice.md": "relative.md",
        "folder": "b/c",
        "b/up": "../b/c",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    source = FolderSource(root)
    listed = {item.document_id: item for item in source.list()}
    assert {*listed} >= {"relative.md", "absolute.md", "around.md", "alias.md", "twice.md", "folder/a.md"}
    assert {source.read(item) for item in listed.values()} == {b"x"}


@pytest.mark.parametrize("seconds", [2**40, -(2**40)])
def test_a_file_whose_time_no_calendar_has_is_listed(tmp_path: Path, seconds: int) -> None:
    (tmp_path / "a.md").write_bytes(b"x")
    os.utime(tmp_path / "a.md", (seconds, seconds))
    if (tmp_path / "a.md").stat().st_mtime != seconds:
        pytest.skip("this file system keeps no such time")
    (item,) = FolderSource(tmp_path).list()
    assert item.modified.tzinfo is not None
    assert FolderSource(tmp_path).read(item) == b"x"


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


def test_a_file_that_became_larger_than_memory_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"x")
    source = FolderSource(tmp_path)
    (item,) = source.list()
    with path.open("ab") as file:
        file.truncate(1 << 42)  # a hole
    assert len(source.read(item, 1_000_000)) == 1_000_001
