"""Connections of senders that mean harm, over real sockets: bounded bytes, bounded time, and room for everybody else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import connections, unread
from rag_assets_tests.events.webhooks.corpora import ENVIRON, SOURCES, VARIABLE
from rag_assets_tests.events.webhooks.receivers import receiver
from rag_assets_tests.events.webhooks.senders import bearer, event

HOOK = "/hooks/handbook"
HEAD = b"POST /hooks/handbook HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
PROMPT = 30.0
"""Seconds that something which takes moments may take on a busy machine."""


def connect(client: httpx.Client, source: str = "127.0.0.1") -> socket.socket:
    address = (client.base_url.host, client.base_url.port or 0)
    return socket.create_connection(address, timeout=PROMPT, source_address=(source, 0))


def headers(extra: dict[str, str] | None = None) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in {**bearer(), **(extra or {})}.items()).encode()


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes; fails when it does not."""
    received = b""
    while True:
        try:
            block = connection.recv(65_536)
        except ConnectionError:
            return received
        if not block:
            return received
        received += block


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(PROMPT)


def eventually_closed(held: list[socket.socket]) -> None:
    deadline = time.monotonic() + PROMPT
    while any(map(is_open, held)):
        assert time.monotonic() < deadline, "a connection stays open"
        time.sleep(0.05)


def pour(connection: socket.socket, block: bytes, most: int = 20_000_000) -> tuple[int, bytes]:
    """Send a block again and again until the other side closes: bytes that were sent, and its answer."""
    sent, answer = 0, b""
    try:
        while sent < most:
            connection.sendall(block)
            sent += len(block)
            if is_readable(connection):
                break
        answer = all_of(connection)
    except ConnectionError:
        pass
    return sent, answer


def is_readable(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(PROMPT)
    return True


ENDLESS = {
    "header": (HEAD + b"X-A: ", b"a" * 4096, b" 431 "),
    "headers": (HEAD, b"X-A: b\r\n" * 512, b" 431 "),
    "folded header": (HEAD + b"X-A: b\r\n", b" a\r\n" * 1024, b" 431 "),
    "request line": (b"GET /", b"a" * 4096, b" 431 "),
    "method": (b"", b"A" * 4096, b" 431 "),
    "chunk extension": (CHUNKED + b"1;a=", b"a" * 4096, b" 400 "),
    "chunk size": (CHUNKED, b"0" * 4096, b" 400 "),
    "trailer": (CHUNKED + b"0\r\nX-A: ", b"a" * 4096, b" 400 "),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: b\r\n" * 512, b" 400 "),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end_is_refused_in_bounded_memory(client: httpx.Client, name: str) -> None:
    start, block, status = ENDLESS[name]
    with connect(client) as connection:
        connection.sendall(start)
        sent, answer = pour(connection, block)
    assert sent < 8_000_000, "what the kernel holds, and no more"
    assert status in answer.partition(b"\r\n")[0]
    assert b"application/problem+json" in answer and b"connection: close" in answer.lower()
    assert client.get("/health").status_code == 200


def test_a_head_that_is_complete_and_too_long_is_refused_however_it_comes(client: httpx.Client) -> None:
    for size in (60_000, 300_000):
        with connect(client) as connection:
            connection.sendall(HEAD + b"X-A: " + b"a" * size + b"\r\n\r\n")
            assert b" 431 " in all_of(connection)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nbad\r\n\r\n", b"\0" * 20]
)
def test_what_is_no_http_is_refused(client: httpx.Client, garbage: bytes) -> None:
    with connect(client) as connection:
        connection.sendall(garbage)
        assert b" 400 " in all_of(connection)


@pytest.mark.parametrize("chunk", [b"1\r\n \r\n", b"1;" + b"a" * 10_000 + b"\r\n \r\n"])
def test_a_body_of_chunks_that_bring_nothing_is_refused(client: httpx.Client, chunk: bytes) -> None:
    with connect(client) as connection:
        connection.sendall(CHUNKED)
        sent, answer = pour(connection, chunk * (200_000 // len(chunk)))
    assert sent < 8_000_000
    assert b" 400 " in answer and b"longer headers than contents" in answer


def test_a_body_of_ordinary_chunks_is_taken(client: httpx.Client) -> None:
    content = event(data={"document": "cms/a.md", "content": "word " * 100_000})
    for size in (100, 4096, 300_000):
        blocks = (content[at : at + size] for at in range(0, len(content), size))
        assert client.post(HOOK, content=blocks, headers=bearer()).status_code == 202
    blocks = iter([content[:1], b" " * 10, content[1:]])
    assert client.post(HOOK, content=blocks, headers=bearer()).status_code == 202


REFUSED = {
    "media type": (HEAD + b"Content-Length: 1000\r\n\r\n", b" 415 "),
    "media type, chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b" 415 "),
    "size": (HEAD + b"Content-Type: application/json\r\nContent-Length: 99000000\r\n\r\n", b" 413 "),
    "corpus": (b"POST /hooks/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b" 404 "),
    "path": (b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b" 404 "),
    "method": (b"PUT /hooks/handbook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b" 405 "),
    "a body where none is read": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        b" 200 ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_is_answered_unread_loses_its_connection(client: httpx.Client, name: str) -> None:
    head, status = REFUSED[name]
    with connect(client) as connection:
        connection.sendall(head + b" ")
        answer = connection.recv(65_536)
        assert status in answer.partition(b"\r\n")[0]
        assert b"connection: close" in answer.lower()
        deadline = time.monotonic() + PROMPT
        try:
            while is_open(connection):  # however slowly the rest comes
                assert time.monotonic() < deadline
                connection.sendall(b" ")
                time.sleep(0.1)
        except ConnectionError:
            pass


def test_a_sender_that_is_refused_while_it_sends_reads_why(client: httpx.Client) -> None:
    for _ in range(5):
        reply = client.post(HOOK, content=b" " * 6_000_000, headers=bearer())
        assert (reply.status_code, reply.json()["reason"]) == (413, "too-large")
        assert reply.headers["connection"] == "close"


def test_an_answered_request_keeps_its_connection(client: httpx.Client) -> None:
    body = event()
    with connect(client) as connection:
        for _ in range(3):
            connection.sendall(HEAD + headers({"Content-Length": str(len(body))}) + b"\r\n" + body)
            answer = b""
            while not answer.endswith(b'"accepted"}'):
                answer += connection.recv(65_536)
            assert b" 202 " in answer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1)
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 2)
    monkeypatch.setattr(unread, "LINGER_SECONDS", 0.5)


SLOW = {
    "before headers": b"",
    "in the request line": b"POST /ho",
    "in headers": HEAD,
    "in the body": HEAD + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    "in chunks": CHUNKED + b"1\r\n{\r\n",
    "between requests": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "in the second request": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nPOST /ho",
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", SLOW)
def test_a_connection_that_completes_nothing_ends(client: httpx.Client, name: str) -> None:
    with connect(client) as connection:
        connection.sendall(SLOW[name])
        answer = all_of(connection)
    if name in ("in the request line", "in headers", "in the second request"):
        assert b" 408 " in answer and b'"reason":"too-slow"' in answer


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_drips_ends(client: httpx.Client) -> None:
    deadline = time.monotonic() + PROMPT
    for start in (HEAD + b"X-A: ", SLOW["in the body"]):
        with connect(client) as connection:
            connection.sendall(start)
            try:
                while is_open(connection):
                    assert time.monotonic() < deadline
                    connection.sendall(b" ")
                    time.sleep(0.1)
            except ConnectionError:
                pass


@pytest.mark.usefixtures("impatient")
def test_a_client_that_never_reads_its_answers_is_dropped(client: httpx.Client) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.5)
        connection.connect((client.base_url.host, client.base_url.port or 0))
        deadline = time.monotonic() + PROMPT
        with pytest.raises(ConnectionError):
            while True:
                assert time.monotonic() < deadline, "it is served for ever"
                try:
                    connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
                except TimeoutError:
                    continue


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("name", SLOW)
def test_many_slow_connections_keep_nobody_out(
    client: httpx.Client, inbox: Inbox, held: ExitStack, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 20)
    for _ in range(60):
        held.enter_context(connect(client)).sendall(SLOW[name])
    for number in range(5):
        with httpx.Client(base_url=client.base_url, timeout=PROMPT) as honest:
            assert honest.post(HOOK, content=event(), headers=bearer(id=f"e{number}")).status_code == 202
            assert honest.get("/health").status_code == 200
    assert inbox.pending("handbook").count == 5


def test_who_opens_most_connections_loses_them_first(
    client: httpx.Client, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 20)
    body = event()
    slow = held.enter_context(connect(client))
    slow.sendall(HEAD + headers({"Content-Length": str(len(body))}) + b"\r\n" + body[:5])
    many = [held.enter_context(connect(client, "127.0.0.2")) for _ in range(60)]
    eventually_closed(many[:30])
    slow.sendall(body[5:])
    assert b" 202 " in slow.recv(65_536)


def test_a_connection_never_becomes_a_websocket(client: httpx.Client) -> None:
    asked = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    assert client.get("/health", headers=asked).status_code == 200
    assert client.get("/nothing", headers=asked).status_code == 404


def test_the_command_bounds_headers_and_connections(tmp_path: Path) -> None:
    folder = tmp_path / "corpora"
    folder.mkdir()
    hook = {"secret_variable": VARIABLE, "accept": ["standard", "bearer"]}
    corpus = {"sources": SOURCES, "events": {"webhooks": hook}}
    (folder / "handbook.yaml").write_text(yaml.safe_dump(corpus))
    with receiver(folder, f"sqlite:///{tmp_path}/inbox.sqlite", ENVIRON) as (_, client), ExitStack() as held:
        with connect(client) as connection:
            connection.sendall(HEAD + b"X-A: ")
            sent, answer = pour(connection, b"a" * 65_536)
            assert (b" 431 " in answer, sent < 8_000_000) == (True, True)
        for _ in range(connections.CONNECTIONS + 100):
            held.enter_context(connect(client)).sendall(b"POST /ho")
        with httpx.Client(base_url=client.base_url, timeout=PROMPT) as honest:
            assert honest.post(HOOK, content=event(), headers=bearer()).status_code == 202
