"""What Prometheus reads: true numbers, and no label that a sender can choose."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
from prometheus_client.parser import text_string_to_metric_families

from rag_assets.events.inbox import Change, Inbox
from rag_assets_tests.events.webhooks.senders import bearer, event

HOOK = "/hooks/handbook"


def samples(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Value of every series, by name and the values of its labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_are_counted_by_what_was_answered(client: httpx.Client) -> None:
    requests = "rag_assets_webhook_requests_total"
    for _ in range(2):
        client.post(HOOK, content=event(), headers=bearer(id="same"))
    client.post(HOOK, content=b"{", headers=bearer())
    client.post("/hooks/narrow", content=b"", headers={})
    found = samples(client)
    assert found[requests, "handbook", "accepted", ""] == 1
    assert found[requests, "handbook", "duplicate", ""] == 1
    assert found[requests, "handbook", "refused", "invalid"] == 1
    assert found[requests, "narrow", "refused", "media-type"] == 1
    assert found["rag_assets_webhook_request_seconds_count", "handbook"] == 3
    assert found["rag_assets_webhook_request_seconds_sum", "handbook"] > 0


def test_a_sender_cannot_make_series(client: httpx.Client) -> None:
    client.get("/metrics")
    before = len(samples(client))
    for number in range(20):
        client.post(f"/hooks/corpus{number}", content=b"{}", headers=bearer(id=f"id{number}"))
    found = samples(client)
    assert found["rag_assets_webhook_requests_total", "-", "refused", "unknown-corpus"] == 20
    once = len(found)
    for number in range(20):
        client.post(f"/hooks/another{number}", content=b"{}", headers=bearer())
    assert len(samples(client)) == once > before


def test_the_inbox_is_measured_when_it_is_asked(client: httpx.Client, inbox: Inbox) -> None:
    changes, age = "rag_assets_inbox_changes", "rag_assets_inbox_oldest_pending_seconds"
    found = samples(client)
    assert found["rag_assets_inbox_up",] == 1
    assert found[changes, "handbook", "pending"] == found[age, "handbook"] == 0
    for document in ("a", "b", "c"):
        now = datetime.now(UTC)
        inbox.accept("handbook", [Change(document, document, "deleted", now, "tests")])
    first, second, _ = inbox.take("handbook", "run")
    inbox.applied([first.number], 1)
    inbox.dead({second.number: "poison"})
    found = samples(client)
    assert [found[changes, "handbook", state] for state in ("pending", "applied", "dead")] == [1, 1, 1]
    assert 0 < found[age, "handbook"] < 60
    assert found[age, "narrow"] == 0
