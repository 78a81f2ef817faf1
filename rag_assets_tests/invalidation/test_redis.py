"""Redis as a target, on a real Valkey server that may be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from functools import partial
from typing import Any

import pytest

from rag_assets.errors import ConfigurationError
from rag_assets.invalidation.cache import AnswerCache
from rag_assets.invalidation.deliver import deliver, retry
from rag_assets.invalidation.ledger import Ledger
from rag_assets.invalidation.redis_client import connect
from rag_assets.invalidation.ttl import Ttls
from rag_assets_tests.invalidation.history import NAME, History, corpus_of
from rag_assets_tests.invalidation.suite import Bench, TargetSuite
from rag_assets_tests.servers import ValkeyServer

PASSWORD = "p%40ss-of-the-tests"  # as it stands in a URL
PROBES = ("a", "b", "c", "unconcerned")


class RedisBench(Bench):
    """Knows what was forgotten by the answers that it kept before, one from each document."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        url = server.url.replace("//", f"//rag:{PASSWORD}@")
        super().__init__({"type": "redis", "url_variable": "CACHE_URL"}, {"CACHE_URL": url})
        self.client.flushall()
        self.mend()
        self.cache = AnswerCache(server.url, NAME)
        self.kept: set[str] = set()
        self.flushed: bytes | None = None

    @property
    def client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.server.url)

    def forgotten(self) -> set[str]:
        names = {name for name in self.kept if self.cache.get(f"of {name}") is None}
        current, flushed = self.client.hmget(f"{{rag:{NAME}}}:meta", "current", "flushed")
        if flushed != self.flushed:
            names = {"everything"}
        self.flushed = flushed
        self.kept = {
            name for name in PROBES if self.cache.put(f"of {name}", b"answer", [name], int(current or 0))
        }
        return names

    def break_(self) -> None:
        self.server.kill()

    def refuse(self) -> None:
        self.mend()
        self.client.execute_command("ACL", "SETUSER", "rag", "off")

    def mend(self) -> None:
        assert self.server.process is not None
        if self.server.process.poll() is not None:
            self.server.start()
        self.client.execute_command("ACL", "SETUSER", "rag", "on", ">p@ss-of-the-tests", "~*", "&*", "+@all")


@pytest.fixture
def bench(valkey: ValkeyServer) -> RedisBench:
    return RedisBench(valkey)


class TestRedis(TargetSuite):
    def part_of(self, secret: str) -> str:
        return PASSWORD

    def test_a_server_that_lost_its_data_is_told_to_forget_everything(
        self, history: History, bench: RedisBench
    ) -> None:
        self.started(history, bench)
        history.erase("b")
        self.deliver(history, bench)
        assert self.deliver(history, bench).state == "up to date"
        bench.client.flushall()
        assert not bench.cache.put("q", b"answer", ["a"], 1), "nobody knows what was told"
        assert self.deliver(history, bench).state == "delivered"
        assert bench.cache.put("q", b"answer", ["a"], 1)
        assert not bench.cache.put("q", b"answer", ["b"], 1), "what is erased is known again"

    def test_a_server_that_was_put_back_to_an_earlier_state_is_told_to_forget_everything(
        self, history: History, bench: RedisBench
    ) -> None:
        self.started(history, bench)
        history.change("a")
        self.deliver(history, bench)
        bench.forgotten()
        bench.client.hset(f"{{rag:{NAME}}}:meta", "current", 1)
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"everything"}

    def test_what_was_given_up_is_made_up_for_when_the_server_is_back(
        self, history: History, bench: RedisBench
    ) -> None:
        self.started(history, bench)
        history.change("a")
        bench.refuse()
        assert self.deliver(history, bench).state == "dead"
        history.change("b")
        assert self.deliver(history, bench).state == "dead"
        bench.mend()
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"everything"}

    def test_a_history_that_starts_anew_leaves_nothing_of_the_old_one(
        self, history: History, bench: RedisBench, tmp_path: Any
    ) -> None:
        self.started(history, bench)
        for _ in range(3):
            history.change("a")
        self.deliver(history, bench)
        assert bench.cache.put("old", b"answer", ["b"], 4)
        other = History(tmp_path / "another")
        other.publish({"a": 1, "b": 1})
        assert self.deliver(other, bench).state == "delivered"
        assert bench.cache.get("old") is None
        assert bench.cache.put("new", b"answer", ["b"], 1)
        other.change("b")
        self.deliver(other, bench)
        assert bench.cache.get("new") is None

    def test_a_target_that_is_renamed_and_renamed_back_goes_on_forgetting(
        self, history: History, bench: RedisBench
    ) -> None:
        self.started(history, bench)
        renamed = corpus_of({**bench.target, "name": "renamed"})
        assert deliver(history.objects, renamed, bench.environ)[0].state == "delivered"
        bench.forgotten()
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"everything"}
        history.change("a")
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"a"}
        assert self.deliver(history, bench).state == "up to date"

    def test_of_two_names_for_one_server_either_may_be_removed(
        self, history: History, bench: RedisBench
    ) -> None:
        self.started(history, bench)
        both = corpus_of(bench.target, {**bench.target, "name": "second"})
        for _ in range(2):
            # They take turns; one that was ignored says so.
            states = {outcome.state for outcome in deliver(history.objects, both, bench.environ)}
            assert states <= {"delivered", "failed", "waiting", "up to date"}
        bench.forgotten()
        history.change("a")
        assert retry(history.objects, corpus_of(bench.target), bench.environ)[0].state == "delivered"
        assert bench.forgotten() & {"a", "everything"}

    def test_a_notice_that_is_ignored_does_not_count_as_delivered(
        self, history: History, bench: RedisBench
    ) -> None:
        self.started(history, bench)
        path, future = f"corpora/{NAME}/invalidation/cache.json", "2999-01-01T00:00:00+00:00"
        bench.client.hset(f"{{rag:{NAME}}}:meta", "epoch", future)  # of a machine with a wrong clock
        outcome = self.deliver(history, bench)
        assert (outcome.state, outcome.publication) == ("failed", 1)
        assert outcome.error and "another ledger" in outcome.error
        assert json.loads(history.objects.get(path))["everything"]
        assert retry(history.objects, corpus_of(bench.target), bench.environ)[0].state == "delivered"
        assert bench.forgotten() == {"everything"}
        history.change("a")
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"a"}

    @pytest.mark.parametrize("published", [False, True])
    def test_a_store_that_was_put_back_with_its_ledger_makes_everything_forgotten(
        self, history: History, bench: RedisBench, tmp_path: Any, published: bool
    ) -> None:
        self.started(history, bench)
        shutil.copytree(history.store, tmp_path / "backup")
        history.change("a")
        self.deliver(history, bench)
        assert bench.cache.put("lost", b"answer", ["a"], 2)
        shutil.rmtree(history.store)
        shutil.move(tmp_path / "backup", history.store)
        del history.states[2:]
        if published:  # another publication of the same number
            history.change("a", "b")
        assert self.deliver(history, bench).state == "delivered"
        assert bench.cache.get("lost") is None
        assert self.deliver(history, bench).state == "up to date"

    def test_a_kill_before_the_entry_costs_nothing_that_is_right(
        self, history: History, bench: RedisBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(*args: object) -> None:
            raise KeyboardInterrupt

        self.started(history, bench)
        history.change("a")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Ledger, "delivered", killed)
            self.deliver(history, bench)
        history.change("b")
        assert self.deliver(history, bench).state == "delivered"
        assert bench.forgotten() == {"a", "b"}

    def test_ttls_follow_the_publications(
        self, history: History, bench: RedisBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "rag_assets.invalidation.deliver.read_ttls", lambda *args: Ttls(1000, {"a": 10, "b": 20})
        )
        self.started(history, bench)

        def seconds(documents: list[str], ttl: float | None = None) -> float:
            assert bench.cache.put("q", b"answer", documents, 1, ttl)
            return float(bench.client.pttl(f"{{rag:{NAME}}}:a:q")) / 1000

        assert 9 < seconds(["a", "b", "c"]) <= 10
        assert 19 < seconds(["b", "c"]) <= 20
        assert 999 < seconds(["c"]) <= 1000
        assert 999 < seconds([]) <= 1000
        assert 4 < seconds(["a"], 5) <= 5
        monkeypatch.setattr("rag_assets.invalidation.deliver.read_ttls", lambda *args: Ttls(500, {"c": 30}))
        history.change("other")
        self.deliver(history, bench)
        assert 29 < seconds(["c", "a"]) <= 30
        assert 499 < seconds(["a"]) <= 500

    @pytest.mark.parametrize("url", ["http://127.0.0.1", "localhost:6379", "redis://host:port/0"])
    def test_a_url_that_is_none_of_redis_is_not_shown(
        self, history: History, bench: RedisBench, url: str
    ) -> None:
        history.publish({"a": 1})
        with pytest.raises(
            ConfigurationError, match=r"target cache: .* CACHE_URL: .* no URL of Redis"
        ) as error:
            deliver(history.objects, corpus_of(bench.target), {"CACHE_URL": url})
        assert url not in str(error.value)

    def test_a_server_that_hangs_is_given_its_time(
        self, history: History, bench: RedisBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        quick = partial(connect, timeout_seconds=0.3)
        monkeypatch.setattr("rag_assets.invalidation.redis_target.connect", quick)
        self.started(history, bench)
        history.change("a")
        assert bench.server.process is not None
        os.kill(bench.server.process.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            outcome = self.deliver(history, bench)
        finally:
            os.kill(bench.server.process.pid, signal.SIGCONT)
        assert outcome.state == "failed"
        assert time.monotonic() - started < 10
        (outcome,) = retry(history.objects, corpus_of(bench.target), bench.environ)
        assert outcome.state == "delivered"
