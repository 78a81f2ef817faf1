"""What senders say is understood: pure functions from payloads to changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.events.inbox import Kind
from rag_assets.events.webhooks.dialects.events import read_event
from rag_assets.events.webhooks.dialects.github import read_push
from rag_assets.events.webhooks.dialects.reading import Invalid, Reading
from rag_assets.events.webhooks.dialects.s3 import read_records
from rag_assets.events.webhooks.origins import UnknownOrigin
from rag_assets.events.webhooks.places import Places
from rag_assets_tests.events.webhooks.corpora import SOURCES, corpus
from rag_assets_tests.events.webhooks.senders import event, push, records

PLACES = Places(corpus(), "")
ANYWHERE = Places(corpus(sources=[{"type": "folder", "path": "docs"}]), "")


def names(reading: Reading) -> dict[str, Kind]:
    return {change.document: change.kind for change in reading.changes}


@pytest.mark.parametrize(
    ("document", "kind", "content", "content_type", "words"),
    [
        ("guide.md", "updated", False, None, None),
        ("deep/er/guide.md", "created", False, None, None),
        ("cms/imprint.md", "created", True, None, None),
        ("cms/IMPRINT.MD", "created", True, None, None),
        ("cms/imprint", "updated", True, "text/markdown", None),
        ("cms/imprint.exe", "updated", True, "Text/HTML; charset=utf-8", None),
        ("cms/imprint", "deleted", False, None, None),
        ("logo.png", "erase", False, None, None),
        ("manuals/a.pdf", "updated", False, None, None),
        ("", "updated", False, None, "1 to 1,024 bytes"),
        ("ü" * 513, "updated", False, None, "1 to 1,024 bytes"),
        ("/guide.md", "updated", False, None, "relative path"),
        ("guide.md/", "updated", False, None, "relative path"),
        ("a//guide.md", "updated", False, None, "relative path"),
        ("a/../guide.md", "updated", False, None, "relative path"),
        ("./guide.md", "updated", False, None, "relative path"),
        ("..", "erase", False, None, "relative path"),
        ("a\nb.md", "updated", False, None, "control characters"),
        ("a\x9fb.md", "updated", False, None, "control characters"),
        ("a\ud800.md", "updated", False, None, "control characters"),
        ("guide.md", "updated", True, None, "type folder, which holds it: leave content out"),
        ("manuals/a.pdf", "updated", True, None, "type s3, which holds it"),
        ("cms/imprint.md", "updated", False, None, "content is missing"),
        ("cms/imprint.md", "deleted", True, None, "has no content"),
        ("cms/imprint", "updated", True, None, "no parser reads it"),
        ("cms/imprint.exe", "updated", True, None, "no parser reads it"),
        ("cms/imprint.md", "updated", True, "image/png", "no parser reads it"),
        ("cms/" + "ü" * 34, "deleted", False, None, "percent-encoded"),
        ("cms/" + "/".join(["ü" * 32] * 4), "updated", True, "text/html", "600 are allowed"),
        ("cms/" + "a/" * 198 + "a", "updated", True, "text/html", "600 are allowed"),
        ("cms/" + "a/" * 197 + "a", "updated", True, "text/html", None),
        ("guide.md", "updated", False, "text/markdown", "there is none"),
        ("logo.png", "updated", False, None, "include and exclude"),
        ("drafts/x.md", "updated", False, None, "include and exclude"),
        (".git/x.md", "updated", False, None, "include and exclude"),
        ("manuals/a.md", "updated", False, None, "include and exclude"),
    ],
)
def test_a_change_is_taken_where_its_document_has_a_place(
    document: str, kind: Kind, content: bool, content_type: str | None, words: str | None
) -> None:
    found = PLACES.mistake(document, kind, content=content, content_type=content_type)
    assert (found is None) == (words is None), found
    assert words is None or words in str(found)


def test_a_document_that_no_source_has_a_prefix_for_is_refused() -> None:
    places = Places(corpus(sources=SOURCES[1:]), "")
    assert "no source of the corpus has a prefix" in str(places.mistake("guide.md", "updated"))


def test_the_source_with_the_longest_prefix_holds_a_document() -> None:
    sources = [{"type": "push", "prefix": "a/"}, {"type": "folder", "path": "x", "prefix": "a/b/"}]
    places = Places(corpus(sources=sources), "")
    assert places.mistake("a/x.md", "updated", content=True) is None
    assert places.mistake("a/b/x.md", "updated") is None


def test_content_comes_as_text_or_as_bytes() -> None:
    data = [
        {"document": "cms/a.md", "content": "größer"},
        {"document": "cms/b.pdf", "content": "AAEC/w==", "encoding": "base64"},
        {"document": "cms/c.md", "content": ""},
    ]
    found = read_event(json.loads(event(data=data)), "e", "tests", PLACES)
    assert [change.content for change in found.changes] == ["größer".encode(), b"\0\1\2\xff", b""]


@pytest.mark.parametrize("content", ["AAE", "AA E=", "ü", "AA=\nAA"])
def test_what_is_no_base64_is_refused(content: str) -> None:
    data = {"document": "cms/b.pdf", "content": content, "encoding": "base64"}
    with pytest.raises(Invalid) as caught:
        read_event(json.loads(event(data=data)), "e", "tests", PLACES)
    assert caught.value.mistakes == ["data: content is not base64"]


@pytest.mark.parametrize(
    ("timestamp", "moment"),
    [
        ("2026-05-04T12:00:00Z", datetime(2026, 5, 4, 12, tzinfo=UTC)),
        ("2026-05-04T12:00:00.5+02:00", datetime(2026, 5, 4, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-05-04T12:00:00.123456789Z", datetime(2026, 5, 4, 12, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_times_have_a_zone(timestamp: str, moment: datetime) -> None:
    (change,) = read_event(json.loads(event(timestamp=timestamp)), "e", "tests", PLACES).changes
    assert change.occurred == moment


def test_a_push_announces_what_the_last_commit_did_to_each_file() -> None:
    body = push(
        {"added": ["a.md", "b.md"]},
        {"modified": ["a.md"], "removed": ["b.md"]},
        {"added": ["b.md"], "removed": ["c.md"]},
    )
    assert names(read_push(json.loads(body), "e", ANYWHERE)) == {
        "a.md": "updated",
        "b.md": "updated",
        "c.md": "deleted",
    }


def test_the_paths_of_a_push_get_the_prefix() -> None:
    places = Places(corpus(sources=[{"type": "folder", "path": "x", "prefix": "repo/docs/"}]), "repo/")
    body = push({"added": ["docs/a.md", "src/main.py"]})
    reading = read_push(json.loads(body), "e", places)
    assert (names(reading), reading.left_out) == ({"repo/docs/a.md": "updated"}, 1)


@pytest.mark.parametrize(
    "body", [push({"added": ["a.md"]}, ref=ref) for ref in ("refs/heads/other", "refs/tags/main", "main")]
)
def test_only_the_default_branch_counts(body: bytes) -> None:
    assert read_push(json.loads(body), "e", ANYWHERE) == Reading([], elsewhere="another-branch")


def test_a_branch_that_was_deleted_announces_nothing() -> None:
    payload = json.loads(push()) | {"head_commit": None, "deleted": True}
    assert read_push(payload, "e", ANYWHERE) == Reading([])


def test_the_branch_that_the_corpus_file_names_counts_and_no_other() -> None:
    places = Places(corpus(branch="release/1.0"), "")
    found = {
        ref: read_push(json.loads(push({"added": ["a.md"]}, ref=ref)), "e", places)
        for ref in (
            "refs/heads/release/1.0",
            "refs/heads/main",
            "refs/heads/release/1.0.1",
            "refs/tags/release/1.0",
        )
    }
    assert [reading.elsewhere for reading in found.values()] == [None, *["another-branch"] * 3]
    assert names(found["refs/heads/release/1.0"]) == {"a.md": "updated"}


@pytest.mark.parametrize(
    "name", ["acme/docs2", "acme/doc", "acme2/docs", "docs", "acme/docs/", "", "other/acme/docs"]
)
def test_a_push_of_another_repository_changes_nothing(name: str) -> None:
    body = push({"added": ["a.md"], "removed": ["b.md"]}, full_name=name)
    assert read_push(json.loads(body), "e", PLACES) == Reading([], elsewhere="another-repository")


def test_the_case_of_a_repository_makes_no_difference() -> None:
    body = push({"added": ["a.md"]}, full_name="Acme/Docs")
    assert names(read_push(json.loads(body), "e", PLACES)) == {"a.md": "updated"}


def test_a_push_says_nothing_of_documents_that_others_push() -> None:
    body = push({"removed": ["cms/imprint.md", "gone.md"]})
    reading = read_push(json.loads(body), "e", PLACES)
    assert (names(reading), reading.left_out) == ({"gone.md": "deleted"}, 1)


def test_an_origin_that_the_corpus_file_does_not_name_counts_for_nothing() -> None:
    places = Places(corpus(sources=[{"type": "folder", "path": "docs"}], repository=None, bucket=None), "")
    with pytest.raises(UnknownOrigin, match=r"events\.webhooks\.repository"):
        read_push(json.loads(push({"added": ["a.md"]})), "e", places)
    with pytest.raises(UnknownOrigin, match=r"events\.webhooks\.bucket"):
        read_records(json.loads(records(("ObjectCreated:Put", "a.md"))), "e", places)


@pytest.mark.parametrize(
    ("pushed_at", "moment"),
    [
        (1_777_896_000, datetime(2026, 5, 4, 12, tzinfo=UTC)),
        ("2026-05-04T12:30:00Z", datetime(2026, 5, 4, 12, 30, tzinfo=UTC)),
        (None, datetime(2026, 5, 4, 12, tzinfo=UTC)),  # the commit's own time
    ],
)
def test_a_push_happens_when_it_is_pushed(pushed_at: Any, moment: datetime) -> None:
    (change,) = read_push(json.loads(push({"added": ["a.md"]}, pushed_at=pushed_at)), "e", ANYWHERE).changes
    assert change.occurred == moment


@pytest.mark.parametrize("pushed_at", [10**30, "yesterday", -(10**20)])
def test_a_push_at_no_time_is_refused(pushed_at: Any) -> None:
    with pytest.raises(Invalid):
        read_push(json.loads(push({"added": ["a.md"]}, pushed_at=pushed_at)), "e", ANYWHERE)


def test_files_that_cannot_be_documents_are_left_out_and_do_not_spoil_the_rest() -> None:
    body = push({"added": ["a.md", "x\u0001.md", "../b.md", "", "y" * 2000], "removed": ["logo.png"]})
    reading = read_push(json.loads(body), "e", PLACES)
    assert (names(reading), reading.left_out) == ({"a.md": "updated"}, 5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ObjectCreated:Put", "updated"),
        ("s3:ObjectCreated:CompleteMultipartUpload", "updated"),
        ("ObjectRemoved:DeleteMarkerCreated", "deleted"),
        ("s3:ObjectRemoved:Delete", "deleted"),
        ("LifecycleExpiration:Delete", "deleted"),
        ("s3:ObjectAccessed:Get", None),
        ("ObjectRestore:Completed", None),
    ],
)
def test_records_of_objects_are_read_by_what_happened(name: str, kind: Kind | None) -> None:
    reading = read_records(json.loads(records((name, "a.md"))), "e", ANYWHERE)
    assert (names(reading), reading.left_out) == (({"a.md": kind}, 0) if kind else ({}, 1))


def test_keys_are_decoded_and_get_the_prefix() -> None:
    places = Places(corpus(sources=[{"type": "folder", "path": "x", "prefix": "s3/"}]), "s3/")
    body = records(("ObjectCreated:Put", "a+b/%C3%BC%2B.md"), ("ObjectCreated:Put", "folder/"))
    reading = read_records(json.loads(body), "e", places)
    assert (names(reading), reading.left_out) == ({"s3/a b/ü+.md": "updated"}, 1)


def test_a_corpus_with_s3_sources_knows_its_objects_by_bucket_and_prefix() -> None:
    found = [
        ("ObjectCreated:Put", key)
        for key in ("manuals/a.pdf", "manuals/a.txt", "other/a.pdf", "manualsx/a.pdf")
    ]
    reading = read_records(json.loads(records(*found)), "e", PLACES)
    assert (names(reading), reading.left_out) == ({"manuals/a.pdf": "updated"}, 3)


@pytest.mark.parametrize("bucket", ["elsewhere", "docs2", "doc", "docs/manuals", "DOCS", "", "docs/"])
@pytest.mark.parametrize("places", [PLACES, ANYWHERE])
def test_records_of_another_bucket_change_nothing(bucket: str, places: Places) -> None:
    found = [
        ("ObjectCreated:Put", "manuals/a.pdf"),
        ("ObjectRemoved:Delete", "a.pdf"),
        ("ObjectRemoved:Delete", "a.md"),
    ]
    reading = read_records(json.loads(records(*found, bucket=bucket)), "e", places)
    assert reading == Reading([], 3, "another-bucket")


def test_records_of_several_buckets_count_where_they_are_the_corpus() -> None:
    body = json.loads(records(("ObjectCreated:Put", "manuals/a.pdf")))
    body["Records"] += json.loads(records(("ObjectRemoved:Delete", "manuals/b.pdf"), bucket="docs2"))[
        "Records"
    ]
    reading = read_records(body, "e", PLACES)
    assert (names(reading), reading.left_out, reading.elsewhere) == ({"manuals/a.pdf": "updated"}, 1, None)


def test_an_object_names_no_document_of_another_source() -> None:
    sources = [
        {"type": "s3", "url": "s3://docs"},
        {"type": "s3", "url": "s3://docs2/", "prefix": "two/"},
        {"type": "folder", "path": "x", "prefix": "handbook/"},
        {"type": "push", "prefix": "cms/"},
    ]
    places = Places(corpus(sources=sources), "")
    found = [
        ("ObjectRemoved:Delete", key) for key in ("a.md", "handbook/a.md", "cms/a.md", "two/a.md", "/a.md")
    ]
    assert names(read_records(json.loads(records(*found)), "e", places)) == {"a.md": "deleted"}
    reading = read_records(json.loads(records(*found, bucket="docs2")), "e", places)
    assert sorted(names(reading)) == ["two/a.md", "two/cms/a.md", "two/handbook/a.md", "two/two/a.md"]


def test_who_sends_is_said_in_words_that_can_be_shown() -> None:
    places = Places(corpus(repository="acme/" + "x" * 1000), "")
    body = push({"added": ["a.md"]}, full_name="ACME/" + "x" * 1000)
    (change,) = read_push(json.loads(body), "e", places).changes
    assert change.sender.startswith("GitHub ACME/xxx") and len(change.sender) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_whatever_takes_the_place_of_a_value_is_understood_or_refused(data: st.DataObject) -> None:
    body, read = data.draw(
        st.sampled_from(
            [
                (
                    event(data=[{"document": "cms/a.md", "content": "x"}]),
                    lambda p: read_event(p, "e", "s", PLACES),
                ),
                (push({"added": ["a.md"]}), lambda p: read_push(p, "e", PLACES)),
                (records(("ObjectCreated:Put", "manuals/a.pdf")), lambda p: read_records(p, "e", PLACES)),
            ]
        )
    )
    payload = json.loads(body)
    place: Any = payload
    while True:
        key = data.draw(st.sampled_from([*place] if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        reading = read(payload)
    except Invalid as invalid:
        assert invalid.mistakes
    else:
        for change in reading.changes:
            assert change.document.encode().decode() == change.document
            assert change.occurred.tzinfo is not None
