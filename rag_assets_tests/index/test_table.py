"""The table is read whatever one of its files is worth: tags that move or are damaged, a manifest that was cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import lance
import pytest

from rag_assets.index.lance_files import manifests, read_tag_files, read_tags, tag_path
from rag_assets.index.mending import lost_versions
from rag_assets.index.sound import damaged_files
from rag_assets.index.table import IndexUnavailable, open_table, translated
from rag_assets.index.tags import mend_tags
from rag_assets.store.files import ObjectDamaged
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.workspace import Workspace

DAMAGES = [b"", b"{", b"{}", b'{"version": "two"}']


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A corpus with two publications; do not change it."""
    root = tmp_path_factory.mktemp("table")
    made = Workspace(root, str(root / "store"))
    made.write("a.md", "Bins are emptied on Tuesdays.")
    made.run()
    made.write("b.md", "Bins are washed on Fridays.")
    made.run()
    return made


@pytest.fixture
def objects(published: Workspace, tmp_path: Path) -> ObjectStore:
    """A copy of its store."""
    shutil.copytree(published.store, tmp_path / "store")
    return ObjectStore.open(tmp_path / "store")


def uri(objects: ObjectStore) -> str:
    return objects.uri("index/handbook.lance")


def test_tags_are_read_as_lance_reads_them(objects: ObjectStore) -> None:
    expected = {name: tag["version"] for name, tag in lance.dataset(uri(objects)).tags.list().items()}
    assert read_tags(objects, "handbook") == expected
    assert expected.keys() >= {"pub-00000001", "pub-00000002", "published"}
    assert read_tags(objects, "other") == {}


def test_manifests_are_found_under_their_versions(objects: ObjectStore) -> None:
    expected = {one["version"] for one in lance.dataset(uri(objects)).versions()}
    assert manifests(objects, "handbook").keys() == expected


@pytest.mark.parametrize(("name", "base"), [("RustPanic", Exception), ("PanicException", BaseException)])
def test_a_panic_of_lance_is_an_index_that_cannot_be_used(name: str, base: type[BaseException]) -> None:
    panic = type(name, (base,), {})
    with (
        pytest.raises(IndexUnavailable, match="could not open it: rust future panicked; run again"),
        translated("open it"),
    ):
        raise panic("rust future panicked")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_tag_hides_no_other(objects: ObjectStore, damage: bytes) -> None:
    whole = read_tags(objects, "handbook")
    objects.put(tag_path("handbook", "pub-00000002"), damage)
    objects.put("index/handbook.lance/_refs/tags/notes.txt", b"of a person")
    left = {name: version for name, version in whole.items() if name != "pub-00000002"}
    assert read_tags(objects, "handbook") == left
    assert isinstance(read_tag_files(objects, "handbook")["pub-00000002"], ObjectDamaged)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_tag_is_written_anew_or_dropped(objects: ObjectStore, damage: bytes) -> None:
    whole = read_tags(objects, "handbook")
    for name in ("pub-00000002", "published"):
        objects.put(tag_path("handbook", name), damage)
    mend_tags(objects, "handbook", {"pub-00000002": whole["pub-00000002"]})
    mended = {name: version for name, version in whole.items() if name != "published"}
    assert read_tags(objects, "handbook") == mended
    assert lance.dataset(uri(objects), version="pub-00000002").version == whole["pub-00000002"]
    assert lance.dataset(uri(objects)).tags.list().keys() == mended.keys()


@pytest.mark.parametrize("damage", [b"", b"of half a manifest"])
def test_a_build_that_a_power_cut_ended_hides_no_version(objects: ObjectStore, damage: bytes) -> None:
    newest = max(manifests(objects, "handbook"))
    folder = Path(objects.url) / "index/handbook.lance/_versions"
    for version in (newest + 1, newest + 2):
        (folder / f"{2**64 - 1 - version}.manifest").write_bytes(damage)
    with pytest.raises(ValueError, match="LanceError"):
        lance.dataset(uri(objects))
    table = open_table(objects, "handbook", at="pub-00000001")
    assert table is not None
    assert table.count_rows() == 1
    assert max(manifests(objects, "handbook")) == newest


def test_a_published_version_is_not_dropped_whatever_happened_to_it(objects: ObjectStore) -> None:
    tags = read_tags(objects, "handbook")
    path = manifests(objects, "handbook")[tags["pub-00000002"]].path
    objects.put(path, b"")
    with pytest.raises(IndexUnavailable):
        open_table(objects, "handbook", at="pub-00000001")
    assert objects.get(path) == b""
    assert lost_versions(objects, "handbook", tags.values()) == {tags["pub-00000002"]}
    objects.delete([path])
    assert lost_versions(objects, "handbook", tags.values()) == {tags["pub-00000002"]}


def test_files_that_are_gone_or_cut_off_are_named(objects: ObjectStore) -> None:
    version = read_tags(objects, "handbook")["published"]
    assert damaged_files(objects, "handbook", version) == []
    root = Path(objects.url) / "index/handbook.lance"
    named = {str(path.relative_to(root)) for path in root.rglob("*.lance")}
    found = set()
    for path in sorted(named):
        whole = (root / path).read_bytes()
        for damage in (None, b"", whole[: len(whole) // 2]):
            (root / path).unlink(missing_ok=True)
            if damage is not None:
                (root / path).write_bytes(damage)
            found |= {(name, damage is None) for name in damaged_files(objects, "handbook", version)}
        (root / path).write_bytes(whole)
    assert {name for name, missing in found if missing} == {name for name, missing in found if not missing}
    assert sum(name.startswith("data/") for name, missing in found if missing) == 2
    assert sum(name.startswith("_indices/") for name, missing in found if missing) >= 4
