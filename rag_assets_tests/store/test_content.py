"""The content store: what was committed is found, whatever happens to its index and in other processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rag_assets.store import content, key_index
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest
from rag_assets.store.files import parquet_bytes
from rag_assets.store.objects import ObjectStore
from rag_assets.store.overlay import OverlayStore

SCHEMA = pl.Schema({"key": pl.String(), "text": pl.String(), "size": pl.Int64()})
ROOT = "content/documents/f1"


def key(number: int) -> str:
    return digest(str(number))


def keys(numbers: Iterable[int]) -> pl.Series:
    return pl.Series("key", [key(number) for number in numbers], dtype=pl.String)


def rows(numbers: Sequence[int]) -> pl.DataFrame:
    """What a stage would compute for these inputs: always the same row for the same key."""
    return pl.DataFrame(
        {"key": keys(numbers), "text": [f"text {n}" for n in numbers], "size": [n * n for n in numbers]},
        schema=SCHEMA,
    )


def open_store(url: str) -> ContentStore:
    return ContentStore(ObjectStore.open(url), "documents", "f1", SCHEMA, {"parser": "markdown"})


def found(store: ContentStore, numbers: Sequence[int]) -> list[str]:
    return sorted(store.collect(keys(numbers))["text"])


def expected(numbers: Iterable[int]) -> list[str]:
    return sorted(f"text {number}" for number in set(numbers))


def shards(url: str) -> dict[str, bytes]:
    objects = ObjectStore.open(url)
    return {info.path: objects.get(info.path) for info in objects.list(f"{ROOT}/shards")}


def test_what_another_process_wrote_or_merged_is_there_after_a_refresh(store_url: str, small: None) -> None:
    mine, other = open_store(store_url), open_store(store_url)
    mine.commit(rows([1]))
    assert other.missing(keys([1, 2])).to_list() == [key(2)]
    mine.commit(rows([2]))
    assert other.missing(keys([1, 2])).to_list() == [
        key(2)
    ]  # it has looked, and does not look again by itself
    other.refresh()
    assert other.missing(keys([1, 2])).is_empty()
    for number in range(3, 12):
        mine.commit(rows([number]))
    mine.maintain()
    other.refresh()
    assert other.missing(keys(range(1, 12))).is_empty()
    assert found(other, range(1, 12)) == expected(range(1, 12))
    fresh = open_store(store_url)
    fresh.refresh()
    assert fresh.missing(keys([11, 12])).to_list() == [key(12)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds so low that a few commits merge and index."""
    lower(monkeypatch)


def lower(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"UNINDEXED_SHARDS": 3, "SMALL_SHARDS": 3, "SMALL_ROWS": 4, "MERGED_ROWS": 8}.items():
        monkeypatch.setattr(content, name, value)
    monkeypatch.setattr(key_index, "BUCKETS", 4)


def test_an_empty_store_lacks_every_key_once_and_in_order(store_url: str) -> None:
    store = open_store(store_url)
    assert store.missing(keys([3, 1, 3, 2])).to_list() == [key(3), key(1), key(2)]
    assert store.collect(keys([1])).is_empty()
    assert store.collect(keys([1])).schema == SCHEMA
    store.maintain()


def test_committed_rows_are_found_by_key_in_this_instance_and_in_the_next(store_url: str) -> None:
    store = open_store(store_url)
    assert store.commit(rows([1, 2, 3])) > 0
    for instance in (store, open_store(store_url)):
        assert instance.missing(keys([2, 9, 3])).to_list() == [key(9)]
        assert instance.collect(keys([3, 1, 1, 7])).sort("size").equals(rows([1, 3]))
        assert instance.collect(keys([2]), ["size"]).columns == ["key", "size"]
        assert instance.collect(keys([2]), []).columns == ["key"]


def test_about_says_what_the_fingerprint_stands_for(store_url: str) -> None:
    open_store(store_url).commit(rows([1]))
    assert json.loads(ObjectStore.open(store_url).get(f"{ROOT}/about.json")) == {"parser": "markdown"}


def test_the_same_rows_committed_twice_are_one_shard(store_url: str) -> None:
    first, second = open_store(store_url), open_store(store_url)
    first.missing(keys([1]))
    second.missing(keys([1]))
    first.commit(rows([1, 2]))
    second.commit(rows([1, 2]))
    assert len(shards(store_url)) == 1
    assert found(open_store(store_url), [1, 2]) == expected([1, 2])


def test_a_row_that_two_writers_committed_is_given_once(store_url: str) -> None:
    store = open_store(store_url)
    store.commit(rows([1, 2]))
    store.commit(rows([2, 3]))
    assert found(store, [1, 2, 3]) == expected([1, 2, 3])


def test_rows_of_a_shard_come_back_in_the_order_of_writing(store_url: str) -> None:
    numbers = [5, 3, 9, 1, 7]
    open_store(store_url).commit(rows(numbers))
    assert open_store(store_url).collect(keys(sorted(numbers)))["key"].to_list() == keys(numbers).to_list()


def test_small_shards_are_merged_and_nothing_is_lost(store_url: str, small: None) -> None:
    store = open_store(store_url)
    for number in range(10):
        store.commit(rows([number]))
    assert len(shards(store_url)) == 10
    store.maintain()
    assert len(shards(store_url)) == 2
    for instance in (store, open_store(store_url)):
        assert found(instance, range(10)) == expected(range(10))
        assert instance.missing(keys([4, 11])).to_list() == [key(11)]


def test_merging_a_shard_with_a_part_of_itself_keeps_both(store_url: str, small: None) -> None:
    store = open_store(store_url)
    for numbers in ([1, 2], [1], [2]):
        store.commit(rows(numbers))
    store.maintain()
    assert found(store, [1, 2]) == expected([1, 2])
    assert found(open_store(store_url), [1, 2]) == expected([1, 2])


def test_large_shards_are_never_changed(store_url: str, small: None) -> None:
    store = open_store(store_url)
    store.commit(rows(range(100, 120)))
    before = shards(store_url)
    for number in range(12):
        store.commit(rows([number]))
        store.maintain()
    after = shards(store_url)
    assert before.items() <= after.items()


def test_the_index_is_written_renewed_and_used(tmp_path: Path, small: None) -> None:
    url = str(tmp_path / "store")
    for batch in range(8):
        store = open_store(url)
        store.commit(rows(range(batch * 5, batch * 5 + 5)))
        store.maintain()
    index = json.loads((tmp_path / "store" / ROOT / "index.json").read_text())
    assert len(index["shards"]) >= 6, "renewed as shards were added"
    assert {path.stem for path in (tmp_path / "store" / ROOT / "index").iterdir()} == set(index["buckets"])
    assert found(open_store(url), range(40)) == expected(range(40))
    assert open_store(url).missing(keys(range(41))).to_list() == [key(40)]


@pytest.mark.parametrize(
    "damage", ["delete all", "delete a bucket", "truncate a bucket", "garbage", "half json", "empty json"]
)
def test_a_deleted_or_damaged_index_costs_time_and_no_row(store_url: str, small: None, damage: str) -> None:
    writer = open_store(store_url)
    for batch in range(4):
        writer.commit(rows(range(batch * 5, batch * 5 + 5)))
    writer.maintain()
    objects = ObjectStore.open(store_url)
    buckets = [info.path for info in objects.list(f"{ROOT}/index")]
    assert buckets
    match damage:
        case "delete all":
            objects.delete([*buckets, f"{ROOT}/index.json"])
        case "delete a bucket":
            objects.delete(buckets[:1])
        case "truncate a bucket":
            objects.put(buckets[0], objects.get(buckets[0])[:40])
        case "garbage":
            for path in buckets:
                objects.put(path, b"garbage")
        case "half json":
            objects.put(f"{ROOT}/index.json", objects.get(f"{ROOT}/index.json")[:50])
        case "empty json":
            objects.put(f"{ROOT}/index.json", b"")
    store = open_store(store_url)
    assert found(store, range(20)) == expected(range(20))
    assert store.missing(keys([3, 99])).to_list() == [key(99)]
    fresh = open_store(store_url)
    fresh.commit(rows([50]))
    fresh.maintain()
    assert found(open_store(store_url), [*range(20), 50]) == expected([*range(20), 50])


@pytest.mark.parametrize(
    "damage", [b"", b"PAR1 and no more", parquet_bytes(rows(range(5, 10)).select("key"))]
)
@pytest.mark.parametrize("indexed", [True, False])
def test_rows_of_a_damaged_shard_are_missing_and_can_be_made_again(
    store_url: str, small: None, damage: bytes, indexed: bool
) -> None:
    writer = open_store(store_url)
    for batch in range(4):
        writer.commit(rows(range(batch * 5, batch * 5 + 5)))
    if indexed:
        writer.maintain()
    damaged = f"{ROOT}/shards/{digest(*keys(range(5, 10)))}.parquet"
    objects = ObjectStore.open(store_url)
    assert objects.info(damaged) is not None
    objects.put(damaged, damage)
    objects.put(f"{ROOT}/shards/notes.txt", b"of a person")
    store = open_store(store_url)
    rest = [*range(5), *range(10, 20)]
    assert found(store, range(20)) == expected(rest)
    assert sorted(store.missing(keys(range(20)))) == sorted(keys(range(5, 10)))
    other = open_store(store_url)
    assert sorted(other.missing(keys(range(20)))) == sorted(keys(range(5, 10))), "whichever process looks"
    other.commit(rows(range(5, 10)))
    assert found(open_store(store_url), range(20)) == expected(range(20))
    store.refresh()
    store.maintain()
    assert found(store, range(20)) == expected(range(20))


def test_a_damaged_shard_in_a_store_that_may_only_be_read_counts_as_missing(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path / "store")
    writer = ContentStore(objects, "documents", "f1", SCHEMA, {})
    writer.commit(rows(range(5)))
    writer.commit(rows(range(5, 10)))
    objects.put(f"{ROOT}/shards/{digest(*keys(range(5)))}.parquet", b"")
    overlay = OverlayStore.over(objects, ObjectStore.open(tmp_path / "scratch"))
    store = ContentStore(overlay, "documents", "f1", SCHEMA, {})
    assert found(store, range(10)) == expected(range(5, 10))
    store.commit(rows(range(5)))
    assert found(store, range(10)) == expected(range(10))
    assert not list(objects.list(f"{ROOT}/damaged")), "a dry run changes nothing"


def test_maintain_mends_an_index_that_lost_a_bucket(tmp_path: Path, small: None) -> None:
    url = str(tmp_path / "store")
    writer = open_store(url)
    for batch in range(4):
        writer.commit(rows(range(batch * 5, batch * 5 + 5)))
    writer.maintain()
    next((tmp_path / "store" / ROOT / "index").iterdir()).unlink()
    store = open_store(url)
    for batch in range(4, 8):
        store.commit(rows(range(batch * 5, batch * 5 + 5)))
    store.maintain()
    index = json.loads((tmp_path / "store" / ROOT / "index.json").read_text())
    assert {path.stem for path in (tmp_path / "store" / ROOT / "index").iterdir()} >= set(index["buckets"])
    assert found(open_store(url), range(40)) == expected(range(40))


def test_a_reader_goes_on_while_another_instance_merges_and_indexes(store_url: str, small: None) -> None:
    writer, reader = open_store(store_url), open_store(store_url)
    for number in range(9):
        writer.commit(rows([number]))
    assert reader.missing(keys(range(9))).is_empty()
    stream = reader.get(keys(range(9)))
    read = [next(stream)]
    writer.maintain()
    read += list(stream)
    texts = pl.concat(read)["text"].to_list()
    assert sorted(texts) == expected(range(9)), "every row, and none twice"
    assert reader.missing(keys(range(10))).to_list() == [key(9)]


def test_two_instances_at_once_lose_and_invent_nothing(store_url: str, small: None) -> None:
    """One adds and merges in a loop, another does the same with half of its keys, two read."""
    total = 40 if store_url.startswith("s3") else 120
    committed: list[int] = []
    done = threading.Event()
    errors: list[BaseException] = []

    def watched(action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)
            raise
        finally:
            if action is write:
                done.set()

    def write() -> None:
        store = open_store(store_url)
        for number in range(total):
            store.commit(rows([number]))
            committed.append(number)
            store.maintain()

    def write_too() -> None:
        store = open_store(store_url)
        for number in range(0, total, 2):
            store.commit(rows([number, number + 10_000]))
            store.maintain()

    def read() -> None:
        while not done.is_set():
            numbers = list(committed)
            store = open_store(store_url)
            assert found(store, numbers) == expected(numbers)
            assert found(store, numbers) == expected(numbers), "an instance that has looked before"

    def quiet(action: object) -> None:
        try:
            watched(action)
        except BaseException:  # shown below
            return

    threads = [threading.Thread(target=quiet, args=(action,)) for action in (write, write_too, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    everything = [*range(total), *range(10_000, 10_000 + total, 2)]
    assert found(open_store(store_url), everything) == expected(everything)


def test_dropped_rows_are_gone_and_their_neighbours_stay(store_url: str, small: None) -> None:
    store = open_store(store_url)
    for batch in range(4):
        store.commit(rows(range(batch * 5, batch * 5 + 5)))
    store.commit(rows([1, 100]))  # committed a second time by another writer
    store.maintain()
    store.drop(keys([1, 2, 17, 999]))
    for instance in (store, open_store(store_url)):
        assert instance.missing(keys([1, 2, 3, 17])).to_list() == keys([1, 2, 17]).to_list()
        assert found(instance, [*range(20), 100]) == expected({*range(20), 100} - {1, 2, 17})
    needle = "text 17"
    for name in shards(store_url):
        frame = pl.read_parquet(ObjectStore.open(store_url).get(name))
        assert needle not in frame["text"].to_list(), "the row's bytes are gone, too"
    store.drop(keys(range(200)))
    assert shards(store_url) == {}


def test_a_dropped_row_can_be_committed_again(store_url: str, small: None) -> None:
    store = open_store(store_url)
    for batch in range(4):
        store.commit(rows(range(batch * 5, batch * 5 + 5)))
    store.maintain()
    store.drop(keys([0, 1, 2, 3, 4]))
    store.commit(rows(range(5)))
    store.maintain()
    assert found(open_store(store_url), range(20)) == expected(range(20))


def test_fingerprints_and_stages_do_not_see_each_other(store_url: str) -> None:
    objects = ObjectStore.open(store_url)
    open_store(store_url).commit(rows([1]))
    assert ContentStore(objects, "documents", "f2", SCHEMA, {}).missing(keys([1])).len() == 1
    assert ContentStore(objects, "chunks", "f1", SCHEMA, {}).missing(keys([1])).len() == 1


class History(RuleBasedStateMachine):
    """Any order of commits, merges, drops, losses of the index and fresh instances, against a set of keys."""

    numbers = st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True)

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        lower(self.patch)
        self.present: set[int] = set()

    @initialize()
    def start(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.url = self.folder.name
        self.stores = [open_store(self.url), open_store(self.url)]

    def teardown(self) -> None:
        self.patch.undo()
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(numbers=numbers, which=st.integers(0, 1))
    def commit(self, numbers: list[int], which: int) -> None:
        """Rows, present or not: a stage that lost a race commits what is there already."""
        self.stores[which].commit(rows(numbers))
        self.present |= set(numbers)

    @rule(which=st.integers(0, 1))
    def maintain(self, which: int) -> None:
        self.stores[which].maintain()

    @rule(numbers=numbers)
    def drop(self, numbers: list[int]) -> None:
        """Purging has the store for itself: instances open afterwards."""
        open_store(self.url).drop(keys(numbers))
        self.present -= set(numbers)
        self.stores = [open_store(self.url), open_store(self.url)]

    @rule(which=st.integers(0, 1))
    def open_again(self, which: int) -> None:
        self.stores[which] = open_store(self.url)

    @rule()
    def lose_the_index(self) -> None:
        objects = ObjectStore.open(self.url)
        objects.delete([info.path for info in objects.list(f"{ROOT}/index")])

    @rule(which=st.integers(0, 1), numbers=numbers)
    def look_up(self, which: int, numbers: list[int]) -> None:
        """An instance may not have seen what the other one committed, and never invents or loses its own."""
        assert set(found(self.stores[which], numbers)) <= set(expected(self.present))

    @invariant()
    def a_fresh_instance_finds_exactly_what_is_there(self) -> None:
        if not hasattr(self, "url"):
            return
        fresh = open_store(self.url)
        collected = fresh.collect(keys(range(31)))
        assert collected.sort("size").equals(rows(sorted(self.present)))
        assert set(fresh.missing(keys(range(31)))) == set(keys(set(range(31)) - self.present))


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
