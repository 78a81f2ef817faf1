"""Webhooks: signed as Standard Webhooks say, bounded, and never led elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from rag_assets.errors import ConfigurationError
from rag_assets.invalidation.deliver import deliver, retry
from rag_assets.invalidation.status import status
from rag_assets_tests.invalidation.history import NAME, History, corpus_of
from rag_assets_tests.invalidation.receiver import Receiver, Reply, Request
from rag_assets_tests.invalidation.suite import SECRET, Bench, TargetSuite

OTHER_SECRET = "whsec_YW5vdGhlci1zZWNyZXQtb2YtdGVzdHM="


class WebhookBench(Bench):
    def __init__(self, receiver: Receiver) -> None:
        target = {
            "type": "webhook",
            "url": receiver.url,
            "secret_variable": "HOOK_SECRET",
            "timeout_seconds": 5,
        }
        super().__init__(target, {"HOOK_SECRET": SECRET})
        self.receiver = receiver
        self.taken: list[dict[str, Any]] = []
        self.reply = Reply()
        receiver.script = self._answer

    def _answer(self, number: int, request: Request) -> Reply:
        notice = Webhook(SECRET).verify(request.body, dict(request.headers))
        if self.reply.status < 300:
            self.taken.append(notice["data"])
        return self.reply

    def forgotten(self) -> set[str]:
        names: set[str] = set()
        for notice in self.taken:
            names |= {*notice["changed"], *notice["removed"], *notice["erased"]}
            names |= {"everything"} if notice["everything"] else set()
        self.taken.clear()
        return names

    def break_(self) -> None:
        self.reply = Reply(503, body=f"no room for {SECRET}".encode())

    def refuse(self) -> None:
        self.reply = Reply(403, body=f"not with {SECRET}\nsecond line".encode())

    def mend(self) -> None:
        self.reply = Reply()


@pytest.fixture
def bench(receiver: Receiver) -> WebhookBench:
    return WebhookBench(receiver)


class TestWebhook(TargetSuite):
    def test_the_body_is_documented(self, history: History, bench: WebhookBench) -> None:
        self.started(history, bench)
        history.publish({"a": 2, "c": 1, "new": 1})
        history.erase("c")
        self.deliver(history, bench)
        request = bench.receiver.requests[-1]
        body = json.loads(request.body)
        assert body.keys() == {"type", "timestamp", "data"}
        assert body["type"] == "rag.invalidation"
        data = body["data"]
        assert request.headers["webhook-id"] == data.pop("key")
        assert (data.pop("epoch"), data.pop("batch")) != ("", "")
        assert data.pop("time") == body["timestamp"]
        assert data == {
            "corpus": NAME,
            "publication": 2,
            "after": 1,
            "kind": "publish",
            "everything": False,
            "changed": ["a"],
            "removed": ["b"],
            "added": ["new"],
            "erased": ["c"],
            "page": 1,
            "pages": 1,
        }

    def test_kinds_tell_what_happened(self, history: History, bench: WebhookBench) -> None:
        self.started(history, bench)
        history.change("a")
        self.deliver(history, bench)
        history.roll_back(1)
        self.deliver(history, bench)
        history.erase("b")
        self.deliver(history, bench)
        told = [(notice["kind"], notice["after"], notice["publication"]) for notice in bench.taken]
        assert told == [("publish", 1, 2), ("rollback", 2, 3), ("erase", 3, 3)]

    def test_a_repeated_page_has_the_same_id(
        self, history: History, bench: WebhookBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.started(history, bench)
        history.change("a", "b", "c")
        monkeypatch.setattr("rag_assets.invalidation.published.PAGE_DOCUMENTS", 1)
        count = len(bench.receiver.requests)

        def second_page_fails(number: int, request: Request) -> Reply:
            return Reply(503 if json.loads(request.body)["data"]["page"] == 2 else 200)

        bench.receiver.script = second_page_fails
        outcome = self.deliver(history, bench)
        assert (outcome.state, outcome.pages) == ("failed", 1)
        bench.receiver.script = bench._answer
        retry(history.objects, corpus_of(bench.target), bench.environ)
        ids = [request.headers["webhook-id"] for request in bench.receiver.requests[count:]]
        assert len(ids) == 1 + 4 + 3
        assert len(set(ids)) == 3
        assert bench.forgotten() == {"a", "b", "c"}

    def test_while_secrets_are_exchanged_both_signatures_are_sent(
        self, history: History, bench: WebhookBench
    ) -> None:
        history.publish({"a": 1})
        deliver(history.objects, corpus_of(bench.target), {"HOOK_SECRET": f"{SECRET} {OTHER_SECRET}\n"})
        (request,) = bench.receiver.requests
        for secret in (SECRET, OTHER_SECRET):
            Webhook(secret).verify(request.body, dict(request.headers))
        with pytest.raises(WebhookVerificationError):
            Webhook("whsec_Zm9yZWlnbg==").verify(request.body, dict(request.headers))

    @pytest.mark.parametrize("secret", ["whsec_", "whsec_*", "a"])
    def test_a_secret_that_is_none_is_refused_before_anything_is_sent(
        self, history: History, bench: WebhookBench, secret: str
    ) -> None:
        history.publish({"a": 1})
        with pytest.raises(ConfigurationError, match="HOOK_SECRET holds no signing secret"):
            deliver(history.objects, corpus_of(bench.target), {"HOOK_SECRET": secret})
        assert not bench.receiver.requests

    @pytest.mark.parametrize("status_code", [408, 425, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again_at_once(
        self, history: History, bench: WebhookBench, status_code: int
    ) -> None:
        history.publish({"a": 1})
        bench.receiver.script = lambda number, request: Reply(status_code if number < 4 else 200)
        assert self.deliver(history, bench).state == "delivered"
        assert len(bench.receiver.requests) == 4

    @pytest.mark.parametrize("status_code", [301, 307, 400, 401, 403, 404, 410, 413, 422])
    def test_what_will_not_pass_is_not_tried_again(
        self, history: History, bench: WebhookBench, status_code: int
    ) -> None:
        history.publish({"a": 1})
        elsewhere = {"Location": f"http://127.0.0.1:{bench.receiver.port}/other"}
        bench.receiver.script = lambda number, request: Reply(status_code, elsewhere)
        outcome = self.deliver(history, bench)
        assert outcome.state == "dead"
        assert outcome.error and f"answered {status_code}" in outcome.error
        assert [request.path for request in bench.receiver.requests] == ["/hook"]

    @pytest.mark.parametrize("wanted", [lambda: "1", lambda: formatdate(time.time() + 2, usegmt=True)])
    def test_a_pause_that_the_receiver_asks_for_is_kept(
        self, history: History, bench: WebhookBench, wanted: Callable[[], str]
    ) -> None:
        history.publish({"a": 1})
        times: list[float] = []

        def script(number: int, request: Request) -> Reply:
            times.append(time.monotonic())
            return Reply(429, {"Retry-After": wanted()}) if number == 1 else Reply()

        bench.receiver.script = script
        assert self.deliver(history, bench).state == "delivered"
        assert 0.9 <= times[1] - times[0] < 10

    def test_a_long_pause_is_left_to_a_later_delivery(self, history: History, bench: WebhookBench) -> None:
        history.publish({"a": 1})
        bench.receiver.script = lambda number, request: Reply(429, {"Retry-After": "1800"})
        outcome = self.deliver(history, bench)
        assert outcome.state == "failed" and outcome.next_attempt
        assert len(bench.receiver.requests) == 1
        assert (
            1700 < (datetime.fromisoformat(outcome.next_attempt) - datetime.now(UTC)).total_seconds() <= 1800
        )
        # Nobody may switch us off for ever.
        bench.receiver.script = lambda number, request: Reply(429, {"Retry-After": "99999999"})
        (outcome,) = retry(history.objects, corpus_of(bench.target), bench.environ)
        assert outcome.next_attempt
        assert (datetime.fromisoformat(outcome.next_attempt) - datetime.now(UTC)).total_seconds() <= 3600

    @pytest.mark.parametrize("garbage", ["", "-5", "soon", "Thu, 99 Foo 1999", "1e9", "9" * 400])
    def test_a_senseless_pause_is_ignored(self, history: History, bench: WebhookBench, garbage: str) -> None:
        history.publish({"a": 1})
        bench.receiver.script = lambda number, request: Reply(503, {"Retry-After": garbage})
        assert self.deliver(history, bench).state == "failed"

    def test_a_receiver_that_does_not_answer_is_given_its_time_and_no_more(
        self, history: History, bench: WebhookBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rag_assets.invalidation.telling.TRIES", 1)
        history.publish({"a": 1})
        bench.target["timeout_seconds"] = 0.3
        for reply in (Reply(delay=20), Reply(500, endless=True), Reply(200, endless=True)):
            bench.receiver.script = lambda number, request, reply=reply: reply  # type: ignore[misc]
            started = time.monotonic()
            (outcome,) = retry(history.objects, corpus_of(bench.target), bench.environ)
            assert time.monotonic() - started < 5
            assert outcome.state == ("delivered" if reply.status == 200 and reply.endless else "failed")

    def test_nobody_listening_is_a_failure_that_may_pass(self, history: History, bench: WebhookBench) -> None:
        history.publish({"a": 1})
        bench.target["url"] = "http://127.0.0.1:1/hook"
        outcome = self.deliver(history, bench)
        assert outcome.state == "failed"
        assert outcome.error and "could not be reached" in outcome.error

    def test_a_new_address_behind_the_same_name_is_a_new_target(
        self, history: History, bench: WebhookBench
    ) -> None:
        self.started(history, bench)
        bench.target["url"] = bench.receiver.url.replace("/hook", "/elsewhere")
        (found,) = status(history.objects, corpus_of(bench.target))
        assert (found.state, found.publication, found.behind) == ("behind", 0, 1)
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"everything"}
        bench.target["timeout_seconds"] = 7
        assert self.deliver(history, bench).state == "up to date"
