"""What Prometheus reads: requests as they were answered, and the inbox as it is at that moment.

Labels hold names of corpora and words of ours, never what a request brought along: a sender cannot
make new time series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rag_assets.errors import InboxUnavailable
from rag_assets.events.inbox import Inbox, State
from rag_assets.events.webhooks.hook import Receipt
from rag_assets.events.webhooks.refusal import Refusal

UNKNOWN = "-"
"""Stands for every corpus that there is not; no name of a corpus looks like this."""
_STATES: tuple[State, ...] = ("pending", "applied", "dead")


class Metrics:
    """Counts what the receiver answers."""

    def __init__(self, corpora: Sequence[str], inbox: Inbox) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "rag_assets_webhook_requests",
            "Requests by corpus, outcome (accepted, duplicate, ignored, refused, failed) and reason.",
            ("corpus", "outcome", "reason"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "rag_assets_webhook_request_seconds",
            "Time from a request's headers to its answer.",
            ("corpus",),
            registry=self._registry,
        )
        self._registry.register(_InboxCollector(corpora, inbox))

    @contextmanager
    def counted(self, corpus: str) -> Iterator[list[Receipt]]:
        """Count one request; the caller puts its receipt into the list, or raises Refusal."""
        started = perf_counter()
        receipts: list[Receipt] = []
        outcome, reason = "failed", ""
        try:
            yield receipts
            outcome, reason = receipts[0].state, receipts[0].reason or ""
        except Refusal as refusal:
            outcome, reason = "refused", refusal.reason
            raise
        finally:
            self._requests.labels(corpus, outcome, reason).inc()
            self._seconds.labels(corpus).observe(perf_counter() - started)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)


class _InboxCollector(Collector):
    def __init__(self, corpora: Sequence[str], inbox: Inbox) -> None:
        self._corpora = corpora
        self._inbox = inbox

    def describe(self) -> list[Metric]:
        """Nothing, so that registering asks no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Asked at every scrape."""
        up = GaugeMetricFamily("rag_assets_inbox_up", "1 if the inbox's database answers.")
        try:
            counts = self._inbox.counts()
            oldest = {corpus: self._inbox.pending(corpus).oldest for corpus in self._corpora}
        except InboxUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        changes = GaugeMetricFamily(
            "rag_assets_inbox_changes", "Changes in the inbox by state.", labels=("corpus", "state")
        )
        age = GaugeMetricFamily(
            "rag_assets_inbox_oldest_pending_seconds",
            "Age of the oldest pending change; 0 when there is none.",
            labels=("corpus",),
        )
        now = datetime.now(UTC)
        for corpus in self._corpora:
            for state in _STATES:
                changes.add_metric([corpus, state], counts.get(corpus, {}).get(state, 0))
            received = oldest[corpus]
            age.add_metric([corpus], 0 if received is None else max(0.0, (now - received).total_seconds()))
        yield changes
        yield age
