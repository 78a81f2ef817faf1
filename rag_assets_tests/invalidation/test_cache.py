"""The answer cache of services: what hits, what misses, and what is refused, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_assets import AnswerCache
from rag_assets.errors import ConfigurationError, TargetUnavailable
from rag_assets.invalidation.cache import LONGEST_TTL, MAX_DOCUMENTS, PRUNED
from rag_assets.invalidation.keys import versioned_key
from rag_assets.invalidation.redis_client import connect
from rag_assets.invalidation.target import Superseded, TargetRefused
from rag_assets_tests.invalidation.history import NAME
from rag_assets_tests.invalidation.teller import Teller
from rag_assets_tests.servers import ValkeyServer, valkey

PREFIX = f"{{rag:{NAME}}}:"


@pytest.fixture
def cache(redis_url: str) -> AnswerCache:
    return AnswerCache(redis_url, NAME)


@pytest.fixture
def teller(redis_url: str) -> Teller:
    """Has told publication 1."""
    teller = Teller(redis_url)
    teller.start()
    return teller


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_an_answer_is_kept_until_a_document_it_used_changes(cache: AnswerCache, teller: Teller) -> None:
    assert cache.get("q") is None
    assert cache.put("q", b"\x00\xffanswer", ["a", "b"], 1)
    assert cache.put("other", b"", ["c"], 1)
    assert cache.get("q") == b"\x00\xffanswer"
    teller.tell(2, {"x": "changed", "new": "added"})
    assert cache.get("q") == b"\x00\xffanswer"
    teller.tell(3, {"b": "changed"})
    assert cache.get("q") is None
    assert cache.get("other") == b""
    teller.tell(4, {"c": "removed"})
    assert cache.get("other") is None


def test_nothing_is_kept_before_anything_was_told(cache: AnswerCache) -> None:
    assert not cache.put("q", b"answer", ["a"], 1)
    assert cache.get("q") is None


def test_an_answer_that_comes_after_the_purge_is_refused(cache: AnswerCache, teller: Teller) -> None:
    teller.tell(2, {"a": "changed"})
    assert not cache.put("late", b"answer", ["a", "b"], 1)
    assert cache.put("right", b"answer", ["b"], 1), "nothing that it used has changed"
    assert cache.put("new", b"answer", ["a"], 2)
    assert (cache.get("late"), cache.get("right"), cache.get("new")) == (None, b"answer", b"answer")


def test_an_answer_from_between_two_pages_is_refused_or_purged(cache: AnswerCache, teller: Teller) -> None:
    changes = {"a": "changed", "b": "changed", "c": "changed"}
    first, second, third = teller.pages(1, 2, changes, size=1)
    teller.target.send(first)
    assert not cache.put("late a", b"answer", ["a"], 1)
    assert cache.put("late c", b"answer", ["c"], 1)
    teller.target.send(second)
    teller.target.send(third)
    assert cache.get("late c") is None
    assert not cache.put("late c", b"answer", ["c"], 1)


def test_a_service_that_is_ahead_of_the_notice_keeps_its_answers(cache: AnswerCache, teller: Teller) -> None:
    assert cache.put("q", b"from 2", ["a"], 2)
    teller.tell(2, {"a": "changed"})
    assert cache.get("q") == b"from 2"


def test_what_came_and_went_between_two_notices_is_refused(cache: AnswerCache, teller: Teller) -> None:
    assert cache.put("q", b"from 2", ["brief"], 2)
    teller.send(teller.pages(1, 3, {"brief": "added"}, {"brief": "removed"}))
    assert cache.get("q") is None
    assert not cache.put("late", b"from 2", ["brief"], 2)


def test_an_older_answer_does_not_replace_a_newer_one(cache: AnswerCache, teller: Teller) -> None:
    teller.tell(2, {"x": "changed"})
    assert cache.put("q", b"from 2", ["a"], 2)
    assert not cache.put("q", b"from 1", ["a"], 1)
    assert cache.get("q") == b"from 2"
    assert cache.put("q", b"from 2 again", ["b"], 2)
    teller.tell(3, {"a": "changed"})
    assert cache.get("q") == b"from 2 again", "it no longer uses that document"


def test_an_old_notice_that_comes_again_takes_nothing_back(cache: AnswerCache, teller: Teller) -> None:
    old = teller.pages(1, 2, {"a": "changed"})
    teller.send(old)
    teller.tell(3, {"a": "changed", "b": "changed"})
    assert cache.put("q", b"from 3", ["a", "b"], 3)
    teller.send(old)
    assert cache.get("q") == b"from 3"
    assert teller.target.told(teller.epoch) == 3
    assert not cache.put("late", b"from 2", ["b"], 2)


def test_a_notice_of_an_earlier_ledger_is_ignored(cache: AnswerCache, teller: Teller, redis_url: str) -> None:
    earlier = Teller(redis_url)
    earlier.epoch = "2025-12-31"
    assert cache.put("q", b"answer", ["a"], 1)
    with pytest.raises(Superseded) as error:
        earlier.send(earlier.pages(8, 9, {"a": "changed"}))
    assert error.value.epoch == teller.epoch
    with pytest.raises(Superseded):
        earlier.start(9)
    assert cache.get("q") == b"answer"
    assert teller.target.told(teller.epoch) == 1
    assert teller.target.told(earlier.epoch) is None


def test_only_everything_from_its_first_page_on_begins_an_epoch(
    cache: AnswerCache, teller: Teller, redis_url: str
) -> None:
    everything = teller.pages(0, 2, everything=True, erased=["e1", "e2", "e3"], size=2)
    teller.send(everything[:1])
    connect(redis_url).flushall()
    with pytest.raises(Superseded) as error:
        teller.send(everything[1:])
    assert error.value.epoch == "", "else the erased documents of the first page would be unknown"
    with pytest.raises(Superseded):
        teller.tell(2, {"a": "changed"})
    teller.send(everything)
    assert not cache.put("q", b"answer", ["e1"], 2)


def test_a_notice_that_was_missed_makes_everything_forgotten(cache: AnswerCache, teller: Teller) -> None:
    assert cache.put("q", b"answer", ["a"], 1)
    teller.tell(3, {"b": "changed"})
    assert cache.get("q") is None
    assert not cache.put("late", b"from 2", ["a"], 2), "what 2 changed was never told"
    assert cache.put("q", b"answer", ["a"], 3)


def test_everything_is_forgotten_once_even_when_it_is_told_twice(cache: AnswerCache, teller: Teller) -> None:
    assert cache.put("q", b"answer", ["a"], 1)
    notices = teller.pages(0, 2, everything=True, erased=["e1", "e2", "e3"], size=2)
    teller.send(notices)
    assert cache.get("q") is None
    assert cache.put("q", b"answer", ["a"], 2)
    teller.send(notices)
    assert cache.get("q") == b"answer"
    assert not cache.put("late", b"answer", ["x"], 1)


def test_an_erased_document_is_forgotten_whatever_publication_an_answer_is_from(
    cache: AnswerCache, teller: Teller
) -> None:
    for publication in (1, 2, 9):
        assert cache.put(versioned_key("q", publication), b"secret", ["a", "b"], publication)
    assert cache.put("other", b"answer", ["b"], 1)
    teller.send(teller.pages(1, 1, erased=["a"], erasures=(0, 1)))
    for publication in (1, 2, 9):
        assert cache.get(versioned_key("q", publication)) is None
        assert not cache.put("again", b"secret", ["b", "a"], publication)
    assert cache.get("other") == b"answer"


def test_an_erased_document_may_be_used_again_when_it_is_published_again(
    cache: AnswerCache, teller: Teller
) -> None:
    teller.send(teller.pages(1, 1, erased=["a"], erasures=(0, 1)))
    teller.tell(2, {"a": "removed"})
    assert not cache.put("q", b"answer", ["a"], 2)
    teller.tell(3, {"a": "added"})
    assert not cache.put("q", b"from before", ["a"], 1)
    assert cache.put("q", b"answer", ["a"], 3)


def test_an_erased_document_that_a_run_under_way_publishes_stays_refused(
    cache: AnswerCache, teller: Teller
) -> None:
    teller.send(teller.pages(1, 1, erased=["a"], erasures=(0, 1)))
    # ``named_as_erased`` names it again.
    teller.tell(2, {"a": "changed"}, erased=["a"])
    assert not cache.put("q", b"answer", ["a"], 2)


def test_nothing_of_an_erased_document_is_left_in_the_server(
    cache: AnswerCache, teller: Teller, redis: Any
) -> None:
    assert cache.put("q", b"secret words", ["a", "b"], 1)
    teller.send(teller.pages(1, 1, erased=["a"], erasures=(0, 1)))
    assert redis.keys(f"{PREFIX}a:*") == []
    assert redis.keys(f"{PREFIX}d:a") == []


def test_an_evicted_index_or_watermark_is_a_miss_and_never_a_stale_answer(
    cache: AnswerCache, teller: Teller, redis: Any
) -> None:
    assert cache.put("q", b"answer", ["a", "b"], 1)
    redis.delete(f"{PREFIX}d:b")
    assert cache.get("q") is None
    assert cache.put("q", b"answer", ["a", "b"], 1)
    assert cache.get("q") == b"answer"
    redis.delete(f"{PREFIX}meta")
    assert cache.get("q") is None
    assert not cache.put("q", b"answer", ["a", "b"], 1)


def test_answers_expire_and_leave_nothing_behind(cache: AnswerCache, teller: Teller, redis: Any) -> None:
    assert cache.put("short", b"answer", ["a", "only"], 1, ttl=0.05)
    assert cache.put("long", b"answer", ["a"], 1, ttl=50)
    time.sleep(0.1)
    assert cache.get("short") is None
    assert cache.get("long") == b"answer"
    assert redis.exists(f"{PREFIX}d:only") == 0
    assert redis.zcard(f"{PREFIX}d:a") == 2
    assert cache.put("longer", b"answer", ["a"], 1, ttl=100)
    assert cache.put("shorter", b"answer", ["a"], 1, ttl=60)
    assert redis.zcard(f"{PREFIX}d:a") == 3, "who puts prunes"
    assert 99_000 < redis.pttl(f"{PREFIX}d:a") <= 100_000, "an index lives as long as its longest answer"


def test_pruning_is_bounded(cache: AnswerCache, teller: Teller, redis: Any) -> None:
    assert cache.put("keeps the index alive", b"answer", ["a"], 1)
    expired = {f"q{number}": number + 1 for number in range(3 * PRUNED)}
    redis.zadd(f"{PREFIX}d:a", expired)
    for left in (2 * PRUNED, PRUNED, 0, 0):
        assert cache.put("q", b"answer", ["a"], 1)
        assert redis.zcard(f"{PREFIX}d:a") == left + 2


def test_a_document_of_very_many_answers_is_forgotten_whole(cache: AnswerCache, teller: Teller) -> None:
    for number in range(1700):
        assert cache.put(f"q{number}", b"answer", ["a"], 1)
    assert cache.put("other", b"answer", ["b"], 1)
    teller.tell(2, {"a": "changed"})
    assert not any(cache.get(f"q{number}") for number in range(1700))
    assert cache.get("other") == b"answer"


def test_changes_are_noted_for_a_bounded_time_and_then_late_answers_are_refused(
    cache: AnswerCache, teller: Teller, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_assets.invalidation.redis_target.KEPT_CHANGES_MS", 100)
    teller.tell(2, {f"d{number}": "changed" for number in range(1200)})
    assert cache.put("q", b"answer", ["a"], 1)
    time.sleep(0.15)
    teller.tell(3, {"z": "changed"})
    assert redis.zrange(f"{PREFIX}changes", 0, -1) == [b"z"]
    assert not cache.put("late", b"answer", ["a"], 1), "it is no longer known what 2 changed"
    assert cache.put("late", b"answer", ["a"], 2)
    assert not cache.put("late", b"answer", ["z"], 2)
    assert cache.get("q") == b"answer"


@pytest.mark.parametrize("size", [1000, 2])
def test_more_changes_than_can_be_noted_refuse_all_late_answers(
    cache: AnswerCache, teller: Teller, redis: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("rag_assets.invalidation.redis_target.KEPT_CHANGES", 3)
    monkeypatch.setattr("rag_assets.invalidation.redis_target.PAGE_DOCUMENTS", size)
    assert cache.put("q", b"answer", ["a", "d1"], 1)
    assert cache.put("other", b"answer", ["a"], 1)
    teller.send(teller.pages(1, 2, {f"d{number}": "changed" for number in range(5)}, size=size))
    assert (cache.get("q"), cache.get("other")) == (None, b"answer")
    assert redis.zcard(f"{PREFIX}changes") == 0
    assert not cache.put("late", b"answer", ["a"], 1)
    assert cache.put("new", b"answer", ["d1"], 2)


def test_corpora_do_not_touch_each_other(cache: AnswerCache, teller: Teller, redis_url: str) -> None:
    other, others = Teller(redis_url, corpus="manuals"), AnswerCache(redis_url, "manuals")
    other.start()
    assert cache.put("q", b"handbook", ["a"], 1)
    assert others.put("q", b"manuals", ["a"], 1)
    other.tell(2, {"a": "changed"})
    assert (cache.get("q"), others.get("q")) == (b"handbook", None)


def test_keys_and_documents_may_hold_any_text(cache: AnswerCache, teller: Teller) -> None:
    odd = ["é/漢 字.md", "{other}:d", 'a"b\\', "x\r\ny", "d:", "%s"]
    for number, name in enumerate(odd):
        assert cache.put(f"{name}?", b"answer", [name], 1)
        assert cache.get(f"{name}?") == b"answer"
        teller.tell(number + 2, {name: "changed"})
        assert cache.get(f"{name}?") is None


def test_an_answer_without_documents_lives_until_it_expires(cache: AnswerCache, teller: Teller) -> None:
    assert cache.put("q", b"I do not know", [], 1)
    teller.tell(2, {"a": "added"})
    assert cache.get("q") == b"I do not know"


def test_wrong_arguments_are_refused(cache: AnswerCache, teller: Teller) -> None:
    with pytest.raises(ValueError, match="allowed: 1000"):
        cache.put("q", b"answer", [f"d{number}" for number in range(MAX_DOCUMENTS + 1)], 1)
    assert cache.put("q", b"answer", [f"d{number}" for number in range(MAX_DOCUMENTS)], 1)
    assert cache.get("q") == b"answer"
    with pytest.raises(ValueError, match="above 0"):
        cache.put("q", b"answer", ["a"], 1, ttl=0)
    for url in (
        "http://127.0.0.1",
        "redis://127.0.0.1?colour=red",
        "redis://127.0.0.1?db=x",
        "rediss://127.0.0.1?ssl_cert_reqs=x",
    ):
        with pytest.raises(ConfigurationError, match="no URL of Redis"):
            AnswerCache(url, NAME)


NO_TTLS = [0, -1, 1e30, float("inf"), float("nan"), 10**400, True, "60", b"60", [60]]


@pytest.mark.parametrize("ttl", NO_TTLS, ids=[str(number) for number in range(len(NO_TTLS))])
def test_a_ttl_that_is_no_time_is_the_callers_mistake(cache: AnswerCache, teller: Teller, ttl: Any) -> None:
    with pytest.raises(ValueError, match=r"ttl: found .*; allowed: seconds above 0, up to 315,360,000"):
        cache.put("q", b"answer", ["a"], 1, ttl=ttl)
    assert cache.get("q") is None
    assert cache.put("q", b"answer", ["a"], 1, ttl=LONGEST_TTL)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("q", b"answer", "a.md", 1), "documents: found one text"),
        (("q", b"answer", [1], 1), "documents: found int"),
        (("q", b"answer", ["\udcff"], 1), "documents: found '.udcff'"),
        (("\ud800", b"answer", ["a"], 1), "question_key: found '.ud800'"),
        ((7, b"answer", ["a"], 1), "question_key: found int"),
        (("q", b"answer", ["a"], "1"), "publication: found '1'"),
        (("q", b"answer", ["a"], -1), "publication: found -1"),
        (("q", b"answer", ["a"], 1.5), "publication: found 1.5"),
        (("q", b"answer", ["a"], True), "publication: found True"),
        (("q", b"answer", ["a"], 10**400), "publication: found an integer of too many digits"),
    ],
)
def test_arguments_that_cannot_be_kept_are_the_callers_mistake(
    cache: AnswerCache, teller: Teller, arguments: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        cache.put(*arguments)


def test_a_connection_that_decodes_replies_is_refused(redis_url: str) -> None:
    import redis

    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        for given in (client, f"{redis_url}?decode_responses=true"):
            with pytest.raises(ConfigurationError, match="decode_responses"):
                AnswerCache(given, NAME)


def test_a_client_of_ones_own_will_do(redis_url: str, teller: Teller) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        cache = AnswerCache(client, NAME)
        assert cache.put("q", b"answer", ["a"], 1)
        assert cache.get("q") == b"answer"


def test_a_server_that_is_gone_or_refuses_raises_errors_of_this_family(tmp_path: Path) -> None:
    with valkey(tmp_path / "own") as server:
        cache = AnswerCache(server.url, NAME)
        assert cache.get("q") is None
        server.kill()
        for call in (lambda: cache.get("q"), lambda: cache.put("q", b"", [], 1)):
            with pytest.raises(TargetUnavailable, match="Redis could not"):
                call()
        server.start()
        assert cache.get("q") is None, "a connection of before the restart is no failure"
        wrong = AnswerCache(server.url.replace("//", "//nobody:hunter2@"), NAME)
        with pytest.raises(TargetRefused) as error:
            wrong.get("q")
        assert "hunter2" not in str(error.value)


def test_commands_are_no_newer_than_redis_6_2(
    valkey: ValkeyServer, cache: AnswerCache, teller: Teller
) -> None:
    """All commands of the cache and the target, as the server counts them."""
    import redis

    of_the_client = {"hello", "client|setinfo", "client|maint_notifications", "config|resetstat", "info"}
    known = {
        "zadd", "zscore", "zrangebyscore", "zrem", "zcard", "zscan", "sadd", "srem", "sismember", "hget", "hset",
        "hmget", "hgetall", "hdel", "del", "unlink", "pttl", "pexpire", "time", "evalsha", "script|load",
    }  # fmt: skip
    with redis.Redis.from_url(valkey.url) as client:
        client.config_resetstat()
        cache.put("q", b"answer", ["a", "b"], 1)
        cache.get("q")
        teller.tell(2, {"a": "changed", "n": "added"}, erased=["b"])
        teller.start(3)
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert used - known - of_the_client == set()
