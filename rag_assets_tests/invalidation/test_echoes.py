"""Servers that repeat what they were sent, a password among it: nothing that people or logs read holds it."""

from __future__ import annotations

import json
import logging
import socketserver
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry

from rag_assets import AnswerCache
from rag_assets.errors import RagAssetsError, redacted
from rag_assets.invalidation.deliver import deliver, retry
from rag_assets.invalidation.status import status
from rag_assets_tests.invalidation.history import NAME, History, corpus_of

PASSWORD = "hunter2 of/the tests'"
QUOTED = "hunter2%20of%2Fthe%20tests%27"

ECHOES: dict[str, Callable[[list[str]], str]] = {
    "unknown command": lambda words: (
        f"ERR unknown command `{words[0]}`, with args beginning with: "
        + " ".join(f"`{word}`, " for word in words[1:])
    ),
    "cut off": lambda words: f"ERR unknown command '{words[0]}' {' '.join(words[1:])[: 4 * len(words) + 12]}",
    "refused": lambda words: f"WRONGPASS {' '.join(words)} is wrong",
    "not permitted": lambda words: f"NOPERM {' '.join(words)}",
    "quoted": lambda words: f"ERR {words!r}",
}


class Echo(socketserver.StreamRequestHandler):
    """Answers every command with an error that holds it."""

    say: Callable[[list[str]], str]

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2].decode())
            self.wfile.write(f"-{self.say(words)}\r\n".encode())


@contextmanager
def echo(say: Callable[[list[str]], str]) -> Iterator[int]:
    handler = type("Echoes", (Echo,), {"say": staticmethod(say)})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def shown_by(error: BaseException) -> str:
    """What a log shows of an error, and what is reachable from it."""
    logging.getLogger(__name__).error("", exc_info=error)
    return "".join(traceback.format_exception(error)) + repr(error)


def check(text: str) -> None:
    for part in (PASSWORD, QUOTED, "hunter2 ", "hunter2%"):
        assert part not in text, text


@pytest.mark.parametrize("name", ECHOES)
@pytest.mark.parametrize("given", ["url", "query", "RESP3", "client", "provider"])
def test_a_password_that_the_server_repeats_is_not_shown_by_the_cache(
    name: str, given: str, caplog: pytest.LogCaptureFixture
) -> None:
    with echo(ECHOES[name]) as port:
        once = Retry(NoBackoff(), 0)
        address = f"127.0.0.1:{port}"
        client: Any = {
            "url": f"redis://rag:{QUOTED}@{address}",
            "query": f"redis://{address}?password={QUOTED}",
            "RESP3": f"redis://rag:{QUOTED}@{address}?protocol=3",
            "client": Redis(port=port, password=PASSWORD, retry=once),
            "provider": Redis(
                port=port, retry=once, credential_provider=UsernamePasswordCredentialProvider("rag", PASSWORD)
            ),
        }[given]
        cache = AnswerCache(client, NAME)
        for ask in (lambda: cache.get("q"), lambda: cache.put("q", b"answer", ["a"], 1)):
            with pytest.raises(RagAssetsError) as caught:
                ask()
            check(shown_by(caught.value))
    check(caplog.text)


def test_a_password_that_a_cluster_repeats_is_not_shown() -> None:
    with echo(ECHOES["unknown command"]) as port, pytest.raises(RagAssetsError) as caught:
        AnswerCache(f"redis://rag:{QUOTED}@127.0.0.1:{port}", NAME, cluster=True)
    check(shown_by(caught.value))


@pytest.mark.parametrize("name", ECHOES)
@pytest.mark.parametrize("place", ["rag:{}@{}", "{1}?password={0}"])
def test_a_password_that_the_server_repeats_is_not_shown_by_deliveries(
    history: History, name: str, place: str
) -> None:
    history.publish({"a": 1})
    corpus = corpus_of({"name": "cache", "type": "redis", "url_variable": "CACHE_URL"})
    with echo(ECHOES[name]) as port:
        environ = {"CACHE_URL": "redis://" + place.format(QUOTED, f"127.0.0.1:{port}")}
        outcomes = [*deliver(history.objects, corpus, environ), *retry(history.objects, corpus, environ)]
    (found,) = status(history.objects, corpus)
    assert found.error and {outcome.state for outcome in outcomes} <= {"failed", "dead"}
    check(json.dumps([*map(str, outcomes), str(found)]))
    for info in history.objects.list(f"corpora/{NAME}/invalidation"):
        check(history.objects.get(info.path).decode())


def test_a_secret_is_hidden_in_every_form_and_when_it_is_cut_off() -> None:
    for secret in ("hunter2 of/the tests'", "päss\nwörd", "x" * 300, "ab"):
        for form in (secret, repr(secret), secret[:9], secret * 2):
            assert secret[:9] not in redacted(f"a {form} b", [secret])
    assert redacted("redis://host:1 is away", ["redis://u:p@host:1"]) == "redis://host:1 is away"
    assert redacted("nothing", ["", "\udcff"]) == "nothing"
