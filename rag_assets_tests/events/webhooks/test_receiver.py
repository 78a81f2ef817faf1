"""The receiver over HTTP: what it takes, what it refuses and how it says so."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any

import httpx
import pytest

from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import create_app
from rag_assets_tests.events.webhooks.corpora import ENVIRON, corpus
from rag_assets_tests.events.webhooks.receivers import serving
from rag_assets_tests.events.webhooks.senders import (
    NARROW_SECRET,
    SECRET,
    bearer,
    event,
    github,
    push,
    records,
    standard,
)

HOOK = "/hooks/handbook"
PROBLEM = {"type", "title", "status", "reason", "detail", "errors"}


def send(client: httpx.Client, body: bytes, headers: dict[str, str], hook: str = HOOK) -> httpx.Response:
    return client.post(hook, content=body, headers=headers)


def refused(reply: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """The problem that a reply tells of; held to the one shape that all have."""
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    problem: dict[str, Any] = reply.json()
    assert problem.keys() == PROBLEM
    assert (reply.status_code, problem["status"], problem["reason"]) == (status, status, reason)
    assert SECRET not in reply.text
    return problem


def test_an_event_is_in_the_inbox_when_it_is_answered(client: httpx.Client, inbox: Inbox) -> None:
    data = {"document": "cms/imprint", "content": "# Imprint", "content_type": "text/markdown; charset=utf-8"}
    body = event("document.created", data, "2026-05-04T14:00:00+02:00")
    reply = send(client, body, standard(body, id="msg_1"))
    assert reply.status_code == 202
    assert reply.json() == {"event": "msg_1", "changes": 1, "left_out": 0, "state": "accepted"}
    (received,) = inbox.take("handbook", "run")
    assert received.change.content == b"# Imprint"
    assert received.change.content_type == "text/markdown"
    assert received.change.occurred.isoformat() == "2026-05-04T12:00:00+00:00"
    assert (received.change.event, received.change.sender) == ("msg_1", "standard webhook")


def test_an_event_that_comes_again_counts_once(client: httpx.Client, inbox: Inbox) -> None:
    body = event()
    replies = [send(client, body, standard(body, id="msg_1")) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert [reply.json()["state"] for reply in replies] == ["accepted", "duplicate"]
    assert inbox.pending("handbook").count == 1


def test_one_event_may_announce_many_documents(client: httpx.Client, inbox: Inbox) -> None:
    body = event("document.deleted", [{"document": f"{number}.md"} for number in range(1000)])
    assert send(client, body, standard(body)).json()["changes"] == 1000
    assert inbox.pending("handbook").count == 1000


def test_a_push_to_github_is_read(client: httpx.Client, inbox: Inbox) -> None:
    body = push({"added": ["new.md"], "removed": ["old.md"], "modified": ["logo.png", "cms/x.md"]})
    reply = send(client, body, github(body))
    assert reply.status_code == 202
    assert (reply.json()["changes"], reply.json()["left_out"]) == (2, 2)
    changes = [received.change for received in inbox.take("handbook", "run")]
    assert {(change.document, change.kind) for change in changes} == {
        ("new.md", "updated"),
        ("old.md", "deleted"),
    }
    assert {change.sender for change in changes} == {"GitHub acme/docs"}


def test_an_event_of_another_origin_changes_nothing_and_the_answer_says_so(
    client: httpx.Client, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = push({"added": ["new.md"], "removed": ["old.md"]}, full_name="acme/website")
    branch = push({"removed": ["old.md"]}, ref="refs/heads/draft")
    bucket = records(("ObjectRemoved:Delete", "manuals/a.pdf"), bucket="docs2")
    with caplog.at_level(logging.INFO, logger="rag_assets"):
        replies = [
            send(client, foreign, github(foreign)),
            send(client, branch, github(branch)),
            send(client, bucket, bearer()),
        ]
    reasons = ["another-repository", "another-branch", "another-bucket"]
    assert [reply.status_code for reply in replies] == [202] * 3
    assert [reply.json()["state"] for reply in replies] == ["ignored"] * 3
    assert [reply.json()["reason"] for reply in replies] == reasons
    assert [reply.json()["changes"] for reply in replies] == [0] * 3
    assert inbox.counts() == {}
    assert all(reason in caplog.text for reason in reasons)
    counted = client.get("/metrics").text
    for reason in reasons:
        series = f'corpus="handbook",outcome="ignored",reason="{reason}"'
        assert f"rag_assets_webhook_requests_total{{{series}}} 1.0" in counted


def test_a_push_is_refused_where_the_corpus_file_names_no_repository(inbox: Inbox) -> None:
    body = push({"added": ["new.md"]})
    with serving(create_app({"handbook": corpus(repository=None)}, inbox, ENVIRON)) as client:
        problem = refused(send(client, body, github(body)), 422, "unknown-origin")
    assert "events.webhooks.repository" in problem["detail"]
    assert inbox.counts() == {}


@pytest.mark.parametrize("name", ["ping", "issues"])
def test_what_github_says_besides_is_taken_and_announces_nothing(
    name: str, client: httpx.Client, inbox: Inbox
) -> None:
    body = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1}).encode()
    reply = send(client, body, github(body, name=name))
    assert (reply.status_code, reply.json()["changes"]) == (202, 0)
    assert inbox.counts() == {}


def test_a_recorded_push_is_a_duplicate_whatever_its_unsigned_headers_say(client: httpx.Client) -> None:
    body = push({"added": ["new.md"]})
    first, again = (send(client, body, github(body)) for _ in range(2))
    assert (first.json()["state"], again.json()["state"]) == ("accepted", "duplicate")
    assert first.json()["event"] == again.json()["event"]


def test_a_push_that_was_recorded_long_ago_is_refused(untouched: httpx.Client) -> None:
    body = push({"added": ["new.md"]}, pushed_at=1_700_000_000)
    assert "older than 30 days" in refused(send(untouched, body, github(body)), 422, "invalid")["detail"]


def test_storage_servers_need_no_id_for_their_records(client: httpx.Client, inbox: Inbox) -> None:
    body = records(
        ("s3:ObjectCreated:Put", "manuals/a+b.pdf"), ("ObjectRemoved:Delete", "manuals/%C3%BC.pdf")
    )
    headers = bearer()
    del headers["webhook-id"]
    replies = [send(client, body, headers) for _ in range(2)]
    assert [reply.json()["state"] for reply in replies] == ["accepted", "duplicate"]
    assert replies[0].json()["event"].startswith("s3:")
    found = {received.change.document: received.change.kind for received in inbox.take("handbook", "run")}
    assert found == {"manuals/a b.pdf": "updated", "manuals/ü.pdf": "deleted"}


def test_an_event_of_ours_needs_an_id(untouched: httpx.Client) -> None:
    headers = bearer()
    del headers["webhook-id"]
    assert "webhook-id is missing" in refused(send(untouched, event(), headers), 422, "invalid")["detail"]


@pytest.mark.parametrize("id", ["two words", "", "x" * 257, "ümlaut"])
def test_an_id_that_no_log_could_show_is_refused(id: str, untouched: httpx.Client) -> None:
    headers = {**bearer(), "webhook-id": id}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    reply = untouched.post(HOOK, content=event(), headers=raw)
    assert "1 to 256 visible ASCII characters" in refused(reply, 422, "invalid")["detail"]


@pytest.mark.parametrize("name", ["quiet", "nothing", "HANDBOOK", "hand%0Abook"])
def test_a_corpus_that_takes_no_events_is_not_found(name: str, client: httpx.Client) -> None:
    refused(send(client, b"", {}, f"/hooks/{name}"), 404, "unknown-corpus")


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/docs", 404, "not-found"),
        ("POST", "/hooks", 404, "not-found"),
        ("POST", f"{HOOK}/", 404, "not-found"),
        ("POST", "/hooks/hand%2Fbook", 404, "not-found"),
        ("GET", HOOK, 405, "method-not-allowed"),
        ("DELETE", HOOK, 405, "method-not-allowed"),
        ("POST", "/health", 405, "method-not-allowed"),
    ],
)
def test_every_other_request_is_refused_in_the_same_shape(
    method: str, path: str, status: int, reason: str, untouched: httpx.Client
) -> None:
    refused(untouched.request(method, path), status, reason)


@pytest.mark.parametrize(
    "type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_only_json_is_taken(type: str | None, untouched: httpx.Client) -> None:
    headers = {name: value for name, value in bearer().items() if name != "content-type"}
    refused(send(untouched, event(), headers | ({"content-type": type} if type else {})), 415, "media-type")


@pytest.mark.parametrize("type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_named_with_parameters(type: str, client: httpx.Client) -> None:
    assert send(client, event(), {**bearer(), "content-type": type}).status_code == 202


def test_a_body_that_announces_its_size_is_refused_unread(client: httpx.Client) -> None:
    host, port = client.base_url.host, client.base_url.port
    head = (
        f"POST /hooks/narrow HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        "Content-Length: 1001\r\n\r\n"
    )
    with socket.create_connection((host, port or 0), timeout=30) as connection:
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(4096)


@pytest.mark.parametrize(("size", "status"), [("0" * 5000 + "1", 400), ("9" * 5000, 400), ("9" * 19, 413)])
def test_a_size_of_too_many_digits_is_refused(client: httpx.Client, size: str, status: int) -> None:
    host, port = client.base_url.host, client.base_url.port
    head = (
        f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    )
    with socket.create_connection((host, port or 0), timeout=30) as connection:
        connection.sendall(head.encode() + b"{")
        assert f" {status} ".encode() in connection.recv(4096)


def test_a_document_whose_key_would_be_too_long_is_refused(untouched: httpx.Client) -> None:
    document = "cms/" + "/".join(["ü" * 28] * 9)
    body = event(data={"document": document, "content": "x", "content_type": "text/html"})
    assert len(document.encode()) < 1024
    (found,) = refused(send(untouched, body, bearer()), 422, "invalid")["errors"]
    assert "percent-encoded" in found


def test_a_body_that_does_not_announce_its_size_is_refused_when_it_is_too_large(
    client: httpx.Client, inbox: Inbox
) -> None:
    def endless() -> Any:
        for _ in range(100):
            yield b" " * 100

    reply = client.post("/hooks/narrow", content=endless(), headers=bearer(secret=NARROW_SECRET))
    assert "larger than 1,000 bytes" in refused(reply, 413, "too-large")["detail"]
    assert inbox.counts() == {}


def test_a_body_of_exactly_the_limit_is_taken(client: httpx.Client) -> None:
    body = event().ljust(1000)
    assert send(client, body, bearer(secret=NARROW_SECRET), "/hooks/narrow").status_code == 202
    refused(send(client, body + b" ", bearer(secret=NARROW_SECRET), "/hooks/narrow"), 413, "too-large")


def test_a_sender_that_sends_too_much_is_told_when_to_come_back(client: httpx.Client) -> None:
    replies = [send(client, event(), bearer(secret=NARROW_SECRET), "/hooks/narrow") for _ in range(4)]
    assert [reply.status_code for reply in replies] == [202, 202, 202, 429]
    refused(replies[-1], 429, "too-many-requests")
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
    # Another scheme is another sender, and another corpus has its own limit.
    assert (
        send(client, event(), standard(body := event(), secret=NARROW_SECRET), "/hooks/narrow").status_code
        == 401
    )
    assert send(client, body, standard(body, secret=NARROW_SECRET), "/hooks/narrow").status_code == 202
    assert send(client, event(), bearer()).status_code == 202


POISON = {
    "no JSON": b"{",
    "nothing": b"",
    "no object": b"[]",
    "null": b"null",
    "not UTF-8": b'{"type": "\xff"}',
    "NaN": b'{"type": NaN}',
    "half a character": event(data={"document": "x"}).replace(b'"x"', b'"\\ud800.md"'),
    "nested": b"[" * 100_000,
    "nested objects": b'{"data":' * 100_000,
    "a huge number": event().replace(b'"guide.md"', b"9" * 10_000),
    "many mistakes": event(data=[1] * 100_000),
    "too many documents": event(data=[{"document": f"{number}.md"} for number in range(1001)]),
    "no documents": event(data=[]).replace(b'{"document": "guide.md"}', b"[]"),
    "an unknown field": event(data={"document": "guide.md", "contents": "x"}),
    "an unknown type": event("document.exploded"),
    "no zone": event(timestamp="2026-05-04T12:00:00"),
    "no date": event(timestamp="2026-13-04T12:00:00Z"),
    "before time": event(timestamp="0001-01-01T00:00:00+14:00"),
    "a number for a time": event().replace(b'"timestamp": "', b'"timestamp": 17, "x": "'),
    "the future": event(timestamp="2126-05-04T12:00:00Z"),
    "a control character": event(data={"document": "a\0b.md"}),
    "no base64": event(data={"document": "cms/a.pdf", "content": "ü", "encoding": "base64"}),
    "a null character in a type": event(
        data={"document": "cms/a", "content": "x", "content_type": "text/markdown\0"}
    ),
    "records without fields": b'{"Records": [{}]}',
    "records of something else": b'{"Records": 7}',
}


@pytest.mark.parametrize("name", POISON)
def test_a_body_that_cannot_be_understood_is_refused_with_reasons(name: str, untouched: httpx.Client) -> None:
    problem = refused(send(untouched, POISON[name], bearer()), 422, "invalid")
    assert len(problem["errors"]) <= 20
    assert len(json.dumps(problem)) < 10_000


def test_mistakes_are_named_with_their_place(untouched: httpx.Client) -> None:
    body = event("document.created", [{"document": "guide.md"}, {"document": "cms/x"}, {"document": "/etc"}])
    found = refused(send(untouched, body, bearer()), 422, "invalid")["errors"]
    assert [mistake.partition(":")[0] for mistake in found] == ["data.1", "data.2"]
    body = event(data=[{"document": "guide.md", "content": 7}])
    assert refused(send(untouched, body, bearer()), 422, "invalid")["errors"] == [
        "data.0.content: Input should be a valid string"
    ]


def test_a_refused_request_is_one_line_of_the_log_without_body_and_secret(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    body = event(data={"document": "guide.md", "content": "confidential"})
    with caplog.at_level(logging.INFO, logger="rag_assets"):
        send(client, body, bearer())
        send(client, body, {**bearer(secret="wrong secret of somebody"), "webhook-id": "x"})
        send(client, body, {}, "/hooks/a%0Ab")
        send(client, event(), bearer())
    assert len(caplog.messages) == 3
    assert "refused 127.0.0.1 POST '/hooks/handbook': 422 invalid" in caplog.messages[0]
    assert "401 unauthorized" in caplog.messages[1]
    for message in caplog.messages:
        assert "\n" not in message
        for hidden in ("confidential", "wrong secret", SECRET):
            assert hidden not in message


def test_a_client_that_hangs_up_leaves_nothing_behind(client: httpx.Client, inbox: Inbox) -> None:
    body = event()
    headers = "".join(f"{name}: {value}\r\n" for name, value in bearer().items())
    head = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
        connection.sendall(head + body[:-1])
    assert send(client, body, bearer()).status_code == 202
    assert inbox.pending("handbook").count == 1


def test_health_needs_nothing_and_readiness_the_database(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
