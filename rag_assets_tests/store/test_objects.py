"""Contract of ObjectStore, on a local folder and on a real S3 server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from pydantic import TypeAdapter

from rag_assets.errors import ConfigurationError, StoreUnavailable
from rag_assets.store.files import ObjectDamaged, numbered, read_record
from rag_assets.store.objects import ObjectNotFound, ObjectStore, s3_options
from rag_assets_tests.servers import SECRET_KEY, S3Server, free_ports


@dataclass(frozen=True)
class Numbered:
    number: int
    name: str


@pytest.fixture
def objects(store_url: str) -> ObjectStore:
    return ObjectStore.open(store_url)


def test_what_is_put_is_read_back(objects: ObjectStore) -> None:
    objects.put("a/b", b"one")
    objects.put("a/b", b"two")
    assert objects.get("a/b") == b"two"
    assert objects.find("a/b") == b"two"


def test_an_object_larger_than_one_part_is_read_back_whole(objects: ObjectStore) -> None:
    data = os.urandom(12 * 1024 * 1024)
    objects.put("large", data)
    assert objects.get("large") == data


def test_a_missing_object_is_none_or_an_error_that_names_it(objects: ObjectStore) -> None:
    assert objects.find("a/missing") is None
    with pytest.raises(ObjectNotFound, match="a/missing: no such object"):
        objects.get("a/missing")


def test_create_never_replaces(objects: ObjectStore) -> None:
    assert objects.create("claim", b"mine")
    assert not objects.create("claim", b"yours")
    assert objects.get("claim") == b"mine"


def test_create_has_exactly_one_winner_among_concurrent_callers(objects: ObjectStore) -> None:
    for round_number in range(10):
        path = f"claims/{round_number}"
        with ThreadPoolExecutor(8) as pool:
            won = [*pool.map(partial(objects.create, path), (str(n).encode() for n in range(8)))]
        assert sum(won) == 1
        assert objects.get(path) == str(won.index(True)).encode()


def test_list_gives_everything_below_a_folder_and_nothing_beside_it(objects: ObjectStore) -> None:
    for path in ("a/1", "a/b/2", "ab/3", "4"):
        objects.put(path, path.encode())
    assert {info.path: info.size for info in objects.list("a")} == {"a/1": 3, "a/b/2": 5}
    assert len([*objects.list("")]) == 4
    assert [*objects.list("missing")] == []


def test_list_goes_on_beyond_one_page(objects: ObjectStore) -> None:
    names = [f"many/{number:05d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda name: objects.put(name, b""), names):
            pass
    assert sorted(info.path for info in objects.list("many")) == names
    objects.delete(names)
    assert [*objects.list("many")] == []


def test_a_listed_object_has_a_tag_that_changes_with_its_content(objects: ObjectStore) -> None:
    objects.put("a", b"one")
    (before,) = objects.list("")
    objects.put("a", b"three")
    (after,) = objects.list("")
    assert before.etag is not None
    assert before.etag != after.etag
    assert after.modified.tzinfo is not None


def test_delete_ignores_what_is_missing(objects: ObjectStore) -> None:
    objects.put("a", b"")
    objects.delete(["missing", "a", "folder/missing"])
    assert objects.find("a") is None
    objects.delete([])


@pytest.mark.parametrize("name", ["with space", "ümläut", "100%", "a+b", "a=b&c"])
def test_any_name_is_found_again_by_its_listed_path(objects: ObjectStore, name: str) -> None:
    objects.put(f"names/{name}", b"x")
    (info,) = objects.list("names")
    assert info.path == f"names/{name}"
    assert objects.get(info.path) == b"x"


def test_polars_reads_the_same_object_under_its_uri(objects: ObjectStore, tmp_path: Path) -> None:
    frame = pl.DataFrame({"key": ["a", "b"]})
    frame.write_parquet(tmp_path / "frame.parquet")
    objects.put("frame.parquet", (tmp_path / "frame.parquet").read_bytes())
    read = pl.read_parquet(objects.uri("frame.parquet"), storage_options=objects.storage_options or None)
    assert read.equals(frame)


def test_sync_accepts_folders_that_do_not_exist(objects: ObjectStore) -> None:
    objects.put("a/b", b"x")
    objects.sync("a")
    objects.sync("missing")


@pytest.mark.parametrize(
    "url", ["gs://bucket/x", "file:///tmp/x", "s3://", "s3:///x", "s3://bucket/x?y=1", " "]
)
def test_an_unknown_url_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix"):
        ObjectStore.open(url)


def test_a_store_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot make the folder"):
        ObjectStore.open(tmp_path / "file" / "store")


def test_wrong_credentials_are_reported_at_once_and_not_repeated(
    s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-0815")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="AWS_SECRET_ACCESS_KEY") as caught:
        ObjectStore.open(s3_store_url).get("a")
    assert time.monotonic() - started < 5
    assert "0815" not in str(caught.value)


def test_a_server_that_is_down_is_reported_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    server = S3Server(f"http://127.0.0.1:{free_ports(1)[0]}", pid=0)
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=f"could not write .*{server.endpoint}") as caught:
        ObjectStore.open(server.url("x")).put("a", b"")
    assert time.monotonic() - started < 15
    assert caught.value.retryable
    assert SECRET_KEY not in str(caught.value)


def test_a_missing_bucket_never_looks_like_an_empty_store(rclone_store_url: str) -> None:
    objects = ObjectStore.open("s3://nobucket/x")
    for attempt in (
        lambda: objects.find("a"),
        lambda: objects.put("a", b""),
        lambda: [*objects.list("")],
        lambda: objects.delete(["a"]),
    ):
        with pytest.raises(StoreUnavailable, match="no such bucket") as caught:
            attempt()
        assert not isinstance(caught.value, ObjectNotFound)


def test_connection_options_follow_the_environment() -> None:
    assert s3_options({}) == {"aws_region": "us-east-1"}
    assert s3_options({"AWS_ENDPOINT_URL": "http://h:1", "AWS_REGION": "eu-west-1"}) == {
        "aws_region": "eu-west-1",
        "aws_endpoint_url": "http://h:1",
        "allow_http": "true",
    }
    assert s3_options({"AWS_ENDPOINT_URL": "a", "AWS_ENDPOINT_URL_S3": "b"})["aws_endpoint_url"] == "b"


_WRITER = """
import sys
from rag_assets.store.objects import ObjectStore
objects = ObjectStore.open(sys.argv[1])
print("ready", flush=True)
while True:
    for fill in (b"a", b"b"):
        objects.put("victim", fill * 8_000_000)
        objects.put("small", fill * 100_000)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_objects_only(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path / "store")
    for kill in range(8):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, objects.url], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        with writer.stdout:
            writer.stdout.readline()
            time.sleep(0.02 + 0.013 * kill)
            for _ in range(3):  # a reader beside the writer
                assert len(set(objects.find("victim") or b"a")) == 1
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        sizes = {info.path: info.size for info in objects.list("")}
        assert sizes.items() <= {"victim": 8_000_000, "small": 100_000}.items()
        for path in sizes:
            assert len(set(objects.get(path))) == 1
    objects.put("victim", b"still writable")
    assert objects.get("victim") == b"still writable"


@pytest.mark.parametrize(
    "url", ["s3://user:SECRETPW@bucket/x", "http://user:SECRETPW@host", "s3://u:SECRETPW@a@b"]
)
def test_a_store_url_with_a_password_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ObjectStore.open(url)
    assert "SECRETPW" not in str(caught.value)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_password_in_the_endpoint_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://user:SECRETPW@127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID") as caught:
        ObjectStore.open("s3://bucket/x")
    assert "SECRETPW" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\0\0", b"[]", b"null", b"{}", b'{"number": 1}', b'{"number": "1", "name": "a"}', b"\xff"],
)
def test_a_damaged_record_is_named_with_what_to_do(objects: ObjectStore, content: bytes) -> None:
    path = "corpora/handbook/snapshots/00000001.json"
    objects.put(path, content)
    with pytest.raises(ObjectDamaged, match=r"00000001\.json is damaged: .*rag-assets run handbook"):
        read_record(objects, path, TypeAdapter(Numbered))
    with pytest.raises(ObjectNotFound, match=r"00000002\.json: no such object; rag-assets run handbook"):
        read_record(objects, "corpora/handbook/snapshots/00000002.json", TypeAdapter(Numbered))


def test_a_record_with_a_field_of_a_later_version_can_be_read(objects: ObjectStore) -> None:
    objects.put("record.json", b'{"number": 1, "name": "a", "colour": "red"}')
    assert read_record(objects, "record.json", TypeAdapter(Numbered)) == Numbered(1, "a")


def test_files_that_nobody_numbered_are_left_alone(objects: ObjectStore) -> None:
    for name in (
        "00000002.json",
        "00000010.json",
        "00000003.json.bak",
        "notes.json",
        "1.json",
        "a/00000004.json",
    ):
        objects.put(f"records/{name}", b"x")
    assert sorted(numbered(objects, "records", ".json")) == [2, 10]
