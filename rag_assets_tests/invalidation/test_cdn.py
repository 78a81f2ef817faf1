"""CDNs and proxies that purge by surrogate key: the request is whatever the corpus file says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag_assets.errors import ConfigurationError
from rag_assets.invalidation.deliver import deliver
from rag_assets.invalidation.keys import surrogate_key
from rag_assets_tests.invalidation.history import NAME, History, corpus_of
from rag_assets_tests.invalidation.receiver import Receiver, Reply, Request
from rag_assets_tests.invalidation.suite import Bench, TargetSuite

TOKEN = "token-of-the-tests"


class CdnBench(Bench):
    def __init__(self, receiver: Receiver) -> None:
        target = {
            "type": "cdn",
            "url": f"http://127.0.0.1:{receiver.port}/zones/${{CDN_ZONE}}/purge",
            "headers": {"Authorization": "Bearer ${CDN_TOKEN}"},
            "body": '{"tags": {keys}}',
            "batch": 2,
        }
        super().__init__(target, {"CDN_TOKEN": TOKEN, "CDN_ZONE": "zone-of-the-tests"})
        self.receiver = receiver
        self.reply = Reply()
        self.purged: list[str] = []
        receiver.script = self._answer

    def _answer(self, number: int, request: Request) -> Reply:
        assert request.path == "/zones/zone-of-the-tests/purge"
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-type"] == "application/json"
        tags = json.loads(request.body)["tags"]
        assert 1 <= len(tags) <= 2
        if self.reply.status < 300:
            self.purged += tags
        return self.reply

    def forgotten(self) -> set[str]:
        names = {tag.removeprefix("doc-") for tag in self.purged}
        self.purged.clear()
        return {"everything" if name == "corpus-handbook" else name for name in names}

    def break_(self) -> None:
        self.reply = Reply(500, body=f"{TOKEN} for zone-of-the-tests".encode())

    def refuse(self) -> None:
        self.reply = Reply(401, body=f"bad token {TOKEN}".encode())

    def mend(self) -> None:
        self.reply = Reply()


@pytest.fixture
def bench(receiver: Receiver) -> CdnBench:
    return CdnBench(receiver)


def purge(history: History, receiver: Receiver, documents: list[str], **target: Any) -> list[Request]:
    """The requests that a removal of documents causes."""
    corpus = corpus_of({"name": "cdn", "type": "cdn", "url": receiver.url, **target})
    history.publish(dict.fromkeys(documents, 1))
    environ = {"FASTLY_KEY": TOKEN}
    assert deliver(history.objects, corpus, environ)[0].state == "delivered"
    receiver.requests.clear()
    history.publish({})
    assert deliver(history.objects, corpus, environ)[0].state == "delivered"
    return receiver.requests


class TestCdn(TargetSuite):
    def test_keys_come_in_batches(self, history: History, bench: CdnBench) -> None:
        self.started(history, bench)
        history.publish({})
        self.deliver(history, bench)
        tags = [json.loads(request.body)["tags"] for request in bench.receiver.requests]
        assert tags[1:] == [["doc-a", "doc-b"], ["doc-c"]]

    def test_keys_may_stand_in_a_header(self, history: History, receiver: Receiver) -> None:
        headers = {"Fastly-Key": "${FASTLY_KEY}", "Surrogate-Key": "{keys}"}
        (request,) = purge(history, receiver, ["a", "b"], method="PURGE", headers=headers)
        assert (request.method, request.body) == ("PURGE", b"")
        assert request.headers["surrogate-key"] == "doc-a doc-b"
        assert request.headers["fastly-key"] == TOKEN

    def test_keys_may_be_joined_in_the_body(self, history: History, receiver: Receiver) -> None:
        (request,) = purge(
            history, receiver, ["a", "b"], body="tags={keys}", separator=",", key="{corpus}/{document}"
        )
        assert request.body == b"tags=handbook/a,handbook/b"
        assert request.headers["content-type"] == "text/plain"

    def test_ids_can_neither_split_a_key_nor_leave_their_place(
        self, history: History, receiver: Receiver
    ) -> None:
        odd = ['a b,c"d.md', "é/漢.md", "x\r\nSet-Cookie: y"]
        headers = {"Surrogate-Key": "{keys}"}
        (request,) = purge(history, receiver, odd, headers=headers, body='{"t": {keys}}')
        expected = [surrogate_key("doc-{document}", NAME, document) for document in sorted(odd)]
        assert request.headers["surrogate-key"].split(" ") == expected
        assert json.loads(request.body) == {"t": expected}
        assert "set-cookie" not in request.headers
        assert surrogate_key("doc-{document}", NAME, "a b/é.md") == "doc-a%20b/%C3%A9.md"

    @pytest.mark.parametrize("value", ["a b", "x?y", "u@host", "ü"])
    def test_the_environment_cannot_lead_the_url_elsewhere(
        self, history: History, bench: CdnBench, value: str
    ) -> None:
        history.publish({"a": 1})
        environ = {**bench.environ, "CDN_ZONE": value}
        with pytest.raises(ConfigurationError, match="target cache") as error:
            deliver(history.objects, corpus_of(bench.target), environ)
        assert value not in str(error.value)
        assert not bench.receiver.requests

    def test_a_secret_that_no_header_can_carry_is_refused_before_anything_is_sent(
        self, history: History, bench: CdnBench
    ) -> None:
        history.publish({"a": 1})
        with pytest.raises(ConfigurationError, match="a part of the header Authorization holds a line break"):
            deliver(history.objects, corpus_of(bench.target), {**bench.environ, "CDN_TOKEN": "a\nb"})
        assert not bench.receiver.requests
