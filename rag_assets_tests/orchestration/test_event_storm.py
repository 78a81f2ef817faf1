"""Ten thousand events while every part of the stack is killed at random: each takes effect exactly once.

Real receiver, Postgres, Valkey and Dagster daemon; the senders do what good senders do: they send
again until they get an answer. What has to come out follows from the events alone.
"""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from rag_assets import AnswerCache
from rag_assets.corpus import load_corpus
from rag_assets.errors import RagAssetsError
from rag_assets.events.inbox import Inbox
from rag_assets.invalidation.status import status
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.publication.log import PublicationLog
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import SnapshotStore
from rag_assets_tests.servers import PostgresServer, ValkeyServer
from rag_assets_tests.stack import CACHE_VARIABLE, SECRET, SECRET_VARIABLE, Stack, running
from rag_assets_tests.workspace import update_snapshot

EVENTS = 10_000
DOCUMENTS = 120
SENDERS = 4
SEED = 20261121
MAX_BODY = 20_000
SETTINGS: dict[str, Any] = {
    "sources": [{"type": "push", "prefix": "cms/"}],
    "embedder": {"type": "static"},
    "parsing": {"workers": 1, "max_quarantined_share": 1},
    "gate": {"max_removed_share": 1},
    "events": {
        "debounce_seconds": 1,
        "max_delay_seconds": 5,
        "max_attempts": 50,
        "webhooks": {
            "secret_variable": SECRET_VARIABLE,
            "max_body_bytes": MAX_BODY,
            "requests_per_minute": 1_000_000,
        },
    },
    "invalidation": {"targets": [{"name": "answers", "type": "redis", "url_variable": CACHE_VARIABLE}]},
}


class Part(NamedTuple):
    """What can be killed and started again. ``seldom``: a run needs some seconds to get anywhere."""

    kill: Callable[[], None]
    start: Callable[[], None]
    seldom: float = 1.0


@dataclass
class Request:
    """One delivery: what is sent, and which answer is right."""

    body: bytes
    headers: dict[str, str]
    path: str = "/hooks/handbook"
    right: tuple[int, ...] = (202,)


@dataclass
class Storm:
    """The events in the order of their senders' clocks, and what has to come of them."""

    requests: list[Request] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)


def signed(event: str, body: bytes, at: datetime | None = None, secret: str = SECRET) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": event,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event, at, body.decode()),
    }


def storm(rng: random.Random) -> Storm:
    found = Storm()
    start = datetime.now(UTC) - timedelta(hours=2)
    for number in range(EVENTS):
        event, at = f"event-{number}", start + timedelta(milliseconds=100 * number)
        document = f"cms/d{rng.randrange(DOCUMENTS)}.md"
        kind = rng.choices(["updated", "created", "deleted", "erase"], [70, 20, 8, 2])[0]
        data: dict[str, Any] = {"document": document}
        if kind in ("updated", "created"):
            data["content"] = f"# Document {document}\n\nThis is text number {number} of {document}."
        if rng.random() < 0.01:  # content that no parser can read
            data = {"document": f"cms/poison{number}.pdf", "content": "no PDF at all"}
            kind = "created"
            found.poison.add(event)
        elif kind == "erase":
            found.erased.add(document)
            found.texts.pop(document, None)
        elif kind == "deleted":
            found.texts.pop(document, None)
        elif kind == "created" or document not in found.erased:
            found.erased.discard(document)
            found.texts[document] = data["content"]
        body = json.dumps({"type": f"document.{kind}", "timestamp": at.isoformat(), "data": data}).encode()
        found.valid.add(event)
        sendings = 1 + (rng.random() < 0.1)
        found.requests += [Request(body, {"webhook-id": event})] * sendings
        if rng.random() < 0.05:
            found.requests.append(invalid(rng, number, body))
    # Out of order, as far as a queue that is worked off by many would bring it.
    order = sorted(range(len(found.requests)), key=lambda place: place + rng.uniform(0, 200))
    found.requests = [found.requests[place] for place in order]
    return found


def invalid(rng: random.Random, number: int, body: bytes) -> Request:
    """A request that must be refused, whatever the state of the stack."""
    event, late = f"invalid-{number}", datetime.now(UTC) - timedelta(minutes=10)
    big = b'{"type": "document.created", "data": "' + b"x" * MAX_BODY + b'"}'
    return rng.choice(
        [
            Request(body, signed(event, body, secret="whsec_" + "b3RoZXIx" * 4), right=(401,)),
            Request(body, {**signed(event, body), "webhook-id": f"{event}-forged"}, right=(401,)),
            Request(body, signed(event, body, late), right=(401,)),
            Request(body, {"content-type": "application/json"}, right=(401,)),
            Request(big, signed(event, big), right=(413,)),
            Request(b"{", signed(event, b"{"), right=(422, 400)),
            Request(b"[]", signed(event, b"[]"), right=(422, 400)),
            Request(body, signed(event, body), path="/hooks/elsewhere", right=(404,)),
            Request(body, {**signed(event, body), "content-type": "text/plain"}, right=(415,)),
        ]
    )


def send(url: str, requests: queue.Queue[Request], wrong: list[str], answers: Counter[int]) -> None:
    """A sender's worker: again until there is an answer that says more than "not now"."""
    with httpx.Client(timeout=20) as client:
        while True:
            try:
                request = requests.get_nowait()
            except queue.Empty:
                return
            for _ in range(600):
                headers = dict(request.headers)
                if headers.keys() == {"webhook-id"}:
                    headers = signed(headers["webhook-id"], request.body)
                try:
                    status = client.post(
                        url + request.path, content=request.body, headers=headers
                    ).status_code
                except httpx.HTTPError:
                    status = 0
                if status not in (0, 503):
                    break
                time.sleep(0.2)
            answers[status] += 1
            if status not in request.right:
                wrong.append(f"{status} instead of {request.right}: {request.headers}")


def disturb(parts: Mapping[str, Part], stop: threading.Event, killed: Counter[str]) -> None:
    """Kill something every few seconds, and start it again; each of the parts more than once."""
    rng = random.Random(SEED)
    while not stop.wait(rng.uniform(3, 9)) or min(killed[name] for name in parts) < 2:
        name = min(parts, key=lambda name: (killed[name] + rng.random()) * parts[name].seldom)
        parts[name].kill()
        killed[name] += 1
        time.sleep(rng.uniform(0, 1.5))
        parts[name].start()


@dataclass
class Service:
    """What an application does: answers from what is published, and keeps the answers."""

    cache: AnswerCache
    log: PublicationLog
    kept: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def answer(self, stop: threading.Event) -> None:
        rng, number = random.Random(SEED), 0
        while not stop.wait(0.05):
            number += 1
            documents = tuple({f"cms/d{rng.randrange(DOCUMENTS)}.md" for _ in range(rng.randrange(1, 4))})
            try:
                head = self.log.head()
                if head and self.cache.put(f"q{number}", b"answer", documents, head.number, ttl=3600):
                    self.kept[f"q{number}"] = (head.number, documents)
            except RagAssetsError:  # the cache or the store is down: go on without
                continue


@pytest.fixture(scope="module")
def rng() -> Iterator[random.Random]:
    yield random.Random(SEED)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_event_takes_effect_once_whatever_is_killed(
    tmp_path: Path, postgres: PostgresServer, valkey: ValkeyServer, rng: random.Random
) -> None:
    expected = storm(rng)
    stack = Stack(tmp_path, postgres.new_database(), valkey.url, SETTINGS)
    requests: queue.Queue[Request] = queue.Queue()
    for request in expected.requests:
        requests.put(request)
    wrong: list[str] = []
    answers: Counter[int] = Counter()
    stop = threading.Event()
    service = Service(
        AnswerCache(valkey.url, "handbook"), PublicationLog(ObjectStore.open(stack.store), "handbook")
    )
    with running(stack):
        workers = [
            threading.Thread(target=send, args=(stack.url, requests, wrong, answers)) for _ in range(SENDERS)
        ]
        parts = {
            "receiver": Part(stack.receiver.kill, stack.receiver.start),
            "postgres": Part(postgres.kill, postgres.start),
            "valkey": Part(valkey.kill, valkey.start),
            "daemon": Part(stack.daemon.kill, stack.daemon.start, 2.0),
        }
        killed: Counter[str] = Counter()
        storming = threading.Thread(target=disturb, args=(parts, stop, killed))
        answering = threading.Thread(target=service.answer, args=(closed := threading.Event(),))
        for thread in (*workers, storming, answering):
            thread.start()
        for thread in workers:
            thread.join()
        stop.set()
        storming.join()
        assert wrong == []
        inbox = Inbox.open(stack.inbox)
        settled(stack, inbox)
        closed.set()
        answering.join()
    entries = {entry.event: entry for entry in inbox.list("handbook", limit=10 * EVENTS)}
    assert entries.keys() == expected.valid, "each valid event is there once, and nothing else"
    assert {name for name, entry in entries.items() if entry.state == "dead"} >= expected.poison
    for entry in entries.values():
        if entry.event in expected.poison:
            assert "corrupt" in str(entry.reason)
        else:
            assert entry.state in ("done", "superseded") or "erased" in str(entry.reason), entry
    assert published(stack) == expected.texts
    assert answers[202] >= len(expected.valid)
    # A whole run finds nothing to do.
    objects, corpus = ObjectStore.open(stack.store), load_corpus(tmp_path / "corpora" / "handbook.yaml")
    before = SnapshotStore(objects, "handbook").latest()
    assert update_snapshot(Pipeline(objects, corpus, run_id="nightly", inbox=None), None)[0] == before
    forgotten(service)
    inbox.close()


def settled(stack: Stack, inbox: Inbox, seconds: float = 420) -> None:
    """Wait until nothing waits any more: neither events nor what caches are to be told."""
    corpus = load_corpus(stack.root / "corpora" / "handbook.yaml")
    deadline = time.monotonic() + seconds
    while True:
        counts = inbox.counts().get("handbook", {})
        told = [target.state for target in status(ObjectStore.open(stack.store), corpus)]
        if not counts.get("pending") and not counts.get("applied") and told == ["delivered"]:
            return
        assert time.monotonic() < deadline, (counts, stack.daemon.log.read_text()[-5000:])
        time.sleep(1)


def published(stack: Stack) -> dict[str, str]:
    from rag_assets import open_published

    table = open_published("handbook", stack.store).table()
    rows = table.to_lance().to_table(columns=["document_id", "text"]).to_pylist()
    assert len({row["document_id"] for row in rows}) == len(rows), "each of these documents is one chunk"
    return {row["document_id"]: row["text"] for row in rows}


def forgotten(service: Service) -> None:
    """An answer is there if and only if none of its documents has changed since it was made."""
    head = service.log.head()
    assert head is not None
    changed: dict[str, int] = {}
    for publication in service.log.history():
        for document, change in service.log.changes(publication).iter_rows():
            if change != "added":
                changed[document] = publication.number
    assert service.kept, "the service kept answers"
    hits = 0
    for key, (number, documents) in service.kept.items():
        outdated = any(changed.get(document, 0) > number for document in documents)
        if outdated:
            assert service.cache.get(key) is None, (key, number, documents)
        else:
            hits += service.cache.get(key) is not None
    assert hits or all(number < head.number for number, _ in service.kept.values())
