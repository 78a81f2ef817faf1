"""Whoever is killed, and whenever: after the next delivery the cache is as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import TargetUnavailable
from rag_assets.invalidation.cache import AnswerCache
from rag_assets.invalidation.deliver import deliver, retry
from rag_assets.invalidation.ledger import read_ledger
from rag_assets.invalidation.redis_target import RedisTarget
from rag_assets.invalidation.webhook import WebhookTarget
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.invalidation.history import NAME, History, corpus_of
from rag_assets_tests.invalidation.receiver import Receiver, Reply, Request
from rag_assets_tests.invalidation.suite import SECRET
from rag_assets_tests.servers import ValkeyServer

DOCUMENTS = [f"d{number}" for number in range(8)]


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 1.0)
    monkeypatch.setattr("rag_assets.invalidation.lease.POLL_SECONDS", 0.01)
    monkeypatch.setattr("rag_assets.invalidation.published.PAGE_DOCUMENTS", 2)


class Setting:
    """A corpus with a Redis and a webhook target, and what services do with it."""

    def __init__(self, root: Path, redis_url: str, receiver: Receiver) -> None:
        self.history = History(root / "store")
        self.corpus = corpus_of(
            {"name": "cache", "type": "redis", "url_variable": "CACHE_URL"},
            {"name": "hook", "type": "webhook", "url": receiver.url, "secret_variable": "HOOK_SECRET"},
            max_attempts=100,
        )
        self.environ = {"CACHE_URL": redis_url, "HOOK_SECRET": SECRET}
        self.cache = AnswerCache(redis_url, NAME)
        self.acknowledged: list[tuple[int, int]] = []
        self.forgotten: dict[int, set[str]] = {}
        receiver.script = self._answer
        self.history.publish(dict.fromkeys(DOCUMENTS, 1))
        deliver(self.history.objects, self.corpus, self.environ)

    def _answer(self, number: int, request: Request) -> Reply:
        notice = json.loads(request.body)["data"]
        self.acknowledged.append((notice["publication"], notice["page"]))
        for publication in range(notice["after"] + 1, notice["publication"] + 1):
            self.forgotten.setdefault(publication, set()).update(notice["changed"] + notice["removed"])
        return Reply(delay=0.002)

    def ask(self) -> dict[str, frozenset[str]]:
        """Put one answer for each document, from the present publication, and return what they used."""
        answers = {}
        for number, name in enumerate(DOCUMENTS):
            used = frozenset({name, DOCUMENTS[number - 3]} & self.history.now.keys())
            if self.cache.put(f"about {name}", b"answer", used, self.history.head):
                answers[f"about {name}"] = used
        return answers

    def settle(self) -> None:
        """A clean delivery."""
        outcomes = retry(self.history.objects, self.corpus, self.environ)
        assert {outcome.state for outcome in outcomes} <= {"delivered", "up to date"}, outcomes

    def check(self, answers: dict[str, frozenset[str]], changed: set[str]) -> None:
        """The state that a clean delivery would have left."""
        hits = {name for name in answers if self.cache.get(name) is not None}
        right = {name for name, used in answers.items() if not used & changed}
        assert hits == right
        for name, used in answers.items():
            late = self.cache.put(f"late {name}", b"answer", used, self.history.head - 1)
            assert late == (not used & changed)
        for target in ("cache", "hook"):
            ledger = read_ledger(self.history.objects, NAME, target)
            assert ledger is not None
            assert (ledger.publication, ledger.everything) == (self.history.head, False)
            assert (ledger.attempts, ledger.error, ledger.dead) == (0, None, ())
        assert changed <= self.forgotten.get(self.history.head, set())
        publications = [publication for publication, _ in self.acknowledged]
        assert publications == sorted(publications), "an older notice after a newer one"

    def change(self, chance: random.Random) -> set[str]:
        """A publication that changes and removes some documents."""
        before = self.history.now
        picked = set(chance.sample(DOCUMENTS, 5))
        gone = set(chance.sample(sorted(picked), 2))
        self.history.publish(
            {
                **{name: n for name, n in before.items() if name not in gone},
                **dict.fromkeys(picked - gone, self.history.head + 1),
            }
        )
        return picked & before.keys()


@contextmanager
def delivering(setting: Setting) -> Iterator[subprocess.Popen[str]]:
    """A process that delivers all the time."""
    command: dict[str, Any] = {
        "store": setting.history.store,
        "corpus": setting.corpus.model_dump(mode="json"),
        "environ": setting.environ,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "rag_assets_tests.invalidation.delivering", json.dumps(command)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def kill_the_deliverer(setting: Setting, times: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(times):
        with delivering(setting) as process:
            time.sleep(0.2)  # it has told what was due
            answers = setting.ask()
            changed = setting.change(chance)
            time.sleep(chance.uniform(0.0, 0.12))
            process.kill()
            process.wait()
        setting.settle()
        setting.check(answers, changed)


def kill_the_server(setting: Setting, server: ValkeyServer, times: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(times):
        answers = setting.ask()
        changed = setting.change(chance)
        pause = chance.uniform(0.0, 0.03)

        def crash(pause: float = pause) -> None:
            time.sleep(pause)
            server.kill()
            server.start()

        thread = threading.Thread(target=crash)
        thread.start()
        deliver(setting.history.objects, setting.corpus, setting.environ)
        thread.join()
        with suppress(TargetUnavailable):  # a connection of before
            setting.cache.get("x")
        setting.settle()
        setting.check(answers, changed)


@pytest.fixture
def setting(tmp_path: Path, redis_url: str, receiver: Receiver) -> Setting:
    return Setting(tmp_path, redis_url, receiver)


def test_a_deliverer_that_is_killed_leaves_nothing_undone(setting: Setting) -> None:
    kill_the_deliverer(setting, 3, seed=1)


def test_a_server_that_is_killed_forgets_no_purge(setting: Setting, valkey: ValkeyServer) -> None:
    kill_the_server(setting, valkey, 6, seed=2)


class Killed(BaseException):
    """As if the process had gone."""


class Killer:
    """Lets a delivery take so many steps, which are writes to the store and parts of notices, and none after."""

    STEPS = (
        (ObjectStore, "put"),
        (ObjectStore, "create"),
        (RedisTarget, "_note"),
        (RedisTarget, "_forget"),
        (RedisTarget, "_advance"),
        (WebhookTarget, "send"),
    )

    def __init__(self, last: int, patch: pytest.MonkeyPatch) -> None:
        self.last, self.count, self.dead = last, 0, False
        self._lock = threading.Lock()
        for owner, name in self.STEPS:
            patch.setattr(owner, name, self._dying(getattr(owner, name)))

    def _dying(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            with self._lock:
                self.count += 1
                mine = self.count == self.last
                # Before some steps, after others.
                if self.dead or (mine and self.last % 2):
                    self.dead = True
                    raise Killed
            result = original(*args)
            if mine:
                self.dead = True
                raise Killed
            return result

        return step


def test_killed_at_each_step_of_a_delivery_the_next_one_completes_it(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.invalidation.lease.SECONDS", 0.4)
    chance = random.Random(3)
    for last in range(1, 60):
        answers = setting.ask()
        changed = setting.change(chance)
        with monkeypatch.context() as patch, suppress(Killed):
            killer = Killer(last, patch)
            deliver(setting.history.objects, setting.corpus, setting.environ)
        if not killer.dead:
            assert last > 10
            return
        setting.settle()
        setting.check(answers, changed)
    raise AssertionError("a delivery has fewer steps")


@pytest.mark.slow
def test_a_deliverer_that_is_killed_many_times_leaves_nothing_undone(setting: Setting) -> None:
    kill_the_deliverer(setting, 40, seed=4)


@pytest.mark.slow
def test_a_server_that_is_killed_many_times_forgets_no_purge(setting: Setting, valkey: ValkeyServer) -> None:
    kill_the_server(setting, valkey, 150, seed=5)
