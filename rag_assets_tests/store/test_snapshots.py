"""Snapshots: numbered, immutable, and equal in their digest exactly when readers see the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets.errors import SnapshotConflict
from rag_assets.store import snapshots as module
from rag_assets.store.files import ObjectDamaged, parquet_bytes
from rag_assets.store.objects import ObjectNotFound, ObjectStore
from rag_assets.store.snapshots import EMPTY, SCHEMA, VISIBLE, Snapshot, SnapshotStore

NOTHING = pl.Series("document_id", [], dtype=pl.String)


def row(name: str, text: str = "a", **fields: Any) -> dict[str, Any]:
    quarantined = text == "bad"
    return {
        "document_id": name,
        "source": "",
        "uri": f"/docs/{name}",
        "version": "1-1",
        "format": "markdown",
        "parser": "p",
        "bytes": 1,
        "modified": None,
        "content_key": text,
        "text_key": None if quarantined else text,
        "title": None,
        "metadata": "{}",
        "status": "quarantined" if quarantined else "ok",
        "reason": "corrupt" if quarantined else None,
        "detail": None,
        **fields,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def commit(
    store: SnapshotStore, parent: Snapshot, *rows: dict[str, Any], removed: tuple[str, ...] = ()
) -> Snapshot:
    return store.commit(parent, frame(*rows), pl.Series("document_id", removed, dtype=pl.String), {})


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(ObjectStore.open(tmp_path), "handbook")


@pytest.fixture
def tiny_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_BUCKET", 2)


def test_before_the_first_there_is_the_empty_one(store: SnapshotStore) -> None:
    assert store.latest() == EMPTY == store.read(0)
    assert store.rows(EMPTY).is_empty()
    assert store.rows(EMPTY).schema == SCHEMA


def test_snapshots_are_numbered_and_stay_readable(store_url: str) -> None:
    store = SnapshotStore(ObjectStore.open(store_url), "handbook")
    first = commit(store, EMPTY, row("a"), row("b", "bad"))
    second = commit(store, first, row("c"), removed=("a",))
    assert (first.number, second.number) == (1, 2)
    assert (first.documents, first.quarantined, second.documents, second.quarantined) == (1, 1, 1, 1)
    fresh = SnapshotStore(ObjectStore.open(store_url), "handbook")
    assert fresh.latest() == second
    assert fresh.read(1) == first
    assert sorted(fresh.rows(first)["document_id"]) == ["a", "b"]
    assert sorted(fresh.rows(second)["document_id"]) == ["b", "c"]
    assert fresh.rows(second, ("document_id",)).columns == ["document_id"]
    with pytest.raises(ObjectNotFound):
        fresh.read(3)


def test_one_of_two_writers_commits_a_number(store_url: str) -> None:
    store = SnapshotStore(ObjectStore.open(store_url), "handbook")
    winner = commit(store, EMPTY, row("a"))
    with pytest.raises(SnapshotConflict, match="snapshot 1 was committed by another run; run again"):
        commit(store, EMPTY, row("b"))
    assert store.latest() == winner
    assert store.rows(store.latest())["document_id"].to_list() == ["a"]


def test_nothing_new_makes_no_snapshot(store: SnapshotStore) -> None:
    first = commit(store, EMPTY, row("a"))
    assert commit(store, first) == first
    limits = store.commit(first, frame(), NOTHING, {"max_bytes": 5})
    assert (limits.number, limits.digest, limits.facts) == (2, first.digest, {"max_bytes": 5})


def test_what_readers_do_not_see_changes_no_digest(store: SnapshotStore) -> None:
    first = commit(store, EMPTY, row("a"), row("b"))
    touched = commit(store, first, row("a", version="2-1", parser="q", modified=None, content_key="other"))
    assert touched.number == 2
    assert touched.digest == first.digest
    assert store.changes(first, touched).is_empty()


@pytest.mark.parametrize(
    "field", [{"text_key": "z"}, {"title": "T"}, {"metadata": '{"tenant": "x"}'}, {"uri": "/elsewhere"}]
)
def test_what_readers_see_changes_the_digest(store: SnapshotStore, field: dict[str, str]) -> None:
    first = commit(store, EMPTY, row("a"), row("b"))
    second = commit(store, first, row("a", **field))
    assert second.digest != first.digest
    assert store.changes(first, second).to_dicts() == [{"document_id": "a", "change": "changed"}]


@pytest.mark.usefixtures("tiny_buckets")
def test_an_update_writes_only_the_buckets_it_touches(store: SnapshotStore, tmp_path: Path) -> None:
    first = commit(store, EMPTY, *[row(f"d{number}") for number in range(64)])
    assert len(first.buckets) == 32
    files = set((tmp_path / "corpora/handbook/snapshots/buckets").iterdir())
    second = commit(store, first, row("d7", "new"))
    assert len(set(first.buckets) - set(second.buckets)) == 1
    assert len(set((tmp_path / "corpora/handbook/snapshots/buckets").iterdir()) - files) == 1


@pytest.mark.usefixtures("tiny_buckets")
def test_buckets_follow_the_size_of_the_corpus_and_the_digest_does_not(store: SnapshotStore) -> None:
    snapshot, counts = EMPTY, set()
    for number in range(40):
        snapshot = commit(store, snapshot, row(f"d{number}"))
        counts.add(len(snapshot.buckets))
    assert len(counts) > 2
    with tempfile.TemporaryDirectory() as folder:
        at_once = commit(
            SnapshotStore(ObjectStore.open(folder), "other"), EMPTY, *[row(f"d{n}") for n in range(40)]
        )
    assert snapshot.digest == at_once.digest


states = st.dictionaries(st.sampled_from("abcdefghijkl"), st.sampled_from(["x", "y", "bad"]), max_size=12)


def visible(state: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in state.items() if text != "bad"}


def follow(store: SnapshotStore, parent: Snapshot, old: dict[str, str], new: dict[str, str]) -> Snapshot:
    upserts = [row(name, text) for name, text in new.items() if old.get(name) != text]
    return commit(store, parent, *upserts, removed=tuple(old.keys() - new.keys()))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(states, min_size=1, max_size=5), rows_per_bucket=st.sampled_from([1, 2, 1024]))
def test_differences_and_digests_equal_those_of_plain_dictionaries(
    history: list[dict[str, str]], rows_per_bucket: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_PER_BUCKET", rows_per_bucket)
        store = SnapshotStore(ObjectStore.open(folder), "handbook")
        known: list[tuple[dict[str, str], Snapshot]] = [({}, EMPTY)]
        for state in history:
            known.append((state, follow(store, known[-1][1], known[-1][0], state)))
        for old_state, old in known:
            for new_state, new in known:
                before, after = visible(old_state), visible(new_state)
                naive = {
                    **dict.fromkeys(after.keys() - before.keys(), "added"),
                    **dict.fromkeys(before.keys() - after.keys(), "removed"),
                    **{
                        name: "changed"
                        for name in after.keys() & before.keys()
                        if after[name] != before[name]
                    },
                }
                assert dict(store.changes(old, new).iter_rows()) == naive
                gone, come = store.changed(old, new)
                assert {name for name, change in naive.items() if change != "added"} == set(
                    gone["document_id"]
                )
                assert {name for name, change in naive.items() if change != "removed"} == set(
                    come["document_id"]
                )
                assert (old.digest == new.digest) == (old_state == new_state)
        for state, snapshot in known:
            read = store.rows(snapshot, ("document_id", "content_key"))
            assert dict(read.iter_rows()) == state
            assert (snapshot.documents, snapshot.documents + snapshot.quarantined) == (
                len(visible(state)),
                len(state),
            )


def test_every_visible_column_is_a_column() -> None:
    assert set(VISIBLE) <= set(SCHEMA.names())


@pytest.mark.parametrize("content", [b"", b"\0", b"{}", b'{"number": 2}', b'{"number": "x"}'])
def test_a_damaged_record_is_passed_over_and_its_number_is_not_used_again(
    tmp_path: Path, content: bytes
) -> None:
    objects = ObjectStore.open(tmp_path)
    store = SnapshotStore(objects, "corpus")
    first = commit(store, EMPTY, row("a"))
    second = commit(store, first, row("b"))
    objects.put("corpora/corpus/snapshots/00000002.json", content)
    objects.put("corpora/corpus/snapshots/stray.json", content)
    assert store.latest() == first
    assert not store.is_latest(first)
    again = commit(store, first, row("b"))
    assert (again.number, again.digest) == (3, second.digest)
    assert store.latest() == again
    with pytest.raises(SnapshotConflict):
        commit(store, first, row("c"))


def test_a_damaged_or_lost_bucket_says_what_helps(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    store = SnapshotStore(objects, "corpus")
    snapshot = commit(store, EMPTY, row("a"))
    (path,) = (info.path for info in objects.list("") if info.path.endswith(".parquet"))
    objects.put(path, parquet_bytes(pl.DataFrame({"document_id": ["a"]})))
    with pytest.raises(ObjectDamaged, match=r"is damaged.*rag-assets run corpus"):
        store.rows(snapshot)
    objects.delete([path])
    with pytest.raises(ObjectNotFound, match="no such object; rag-assets run corpus"):
        store.rows(snapshot)
