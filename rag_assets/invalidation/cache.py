"""Answers in Redis that are forgotten when a document they used changes. For services.

``AnswerCache(url, "handbook")`` → ``get`` / ``put``. The target of type redis purges what they put.
Loads neither Polars nor LanceDB.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, cast

from rag_assets.invalidation import scripts
from rag_assets.invalidation.keys import RedisKeys
from rag_assets.invalidation.redis_client import connect, translated

if TYPE_CHECKING:
    from rag_assets.invalidation.redis_client import Client

MAX_DOCUMENTS = 1000
PRUNED = 32  # expired members of each index that one ``put`` removes, at most


class AnswerCache:
    """The answers of one corpus. Threads may share it.

    Args:
        redis: URL of the server (``redis://…``), or a client of redis-py that decodes no responses.
        corpus: name of the corpus.
        cluster: whether the URL leads to a cluster.
        timeout_seconds: for connecting and for each reply; a cache must be faster than what it spares.

    Raises:
        ConfigurationError: that is no URL of Redis.
    """

    def __init__(
        self, redis: str | Client, corpus: str, *, cluster: bool = False, timeout_seconds: float = 1.0
    ) -> None:
        if isinstance(redis, str):
            redis = connect(redis, cluster=cluster, timeout_seconds=timeout_seconds)
        self._redis = redis
        self._keys = RedisKeys(corpus)
        self._put = redis.register_script(scripts.PUT)

    def get(self, question_key: str) -> bytes | None:
        """The answer under a key; None if there is none, or it is not certain that it would be purged.

        Raises:
            TargetUnavailable: Redis does not answer; answer without a cache.
        """
        with translated("read an answer"):
            first = self._redis.pipeline(transaction=False)
            first.hmget(self._keys.meta, "current", "generation")
            first.hgetall(self._keys.answer(question_key))
            (current, generation), answer = first.execute()
            if current is None or not answer or answer[b"g"] != generation:
                return None
            documents = [name[2:].decode() for name in answer if name.startswith(b"d:")]
            # A server that is short of memory may have evicted an index: no purge would find the answer.
            second = self._redis.pipeline(transaction=False)
            for document in documents:
                second.zscore(self._keys.index(document), question_key)
            known = second.execute()
        return None if None in known else cast("bytes", answer[b"v"])

    def put(
        self,
        question_key: str,
        value: bytes,
        documents: Collection[str],
        publication: int,
        ttl: float | None = None,
    ) -> bool:
        """Keep an answer, unless it may be outdated already.

        Args:
            question_key: under which ``get`` finds it. Put in all that the answer depends on beside
                the documents: the question, the user's rights, the model.
            value: the answer.
            documents: ids of all documents that it used.
            publication: number of the publication that it was made from (``index.publication.number``).
            ttl: seconds; default: as often as its documents change (``invalidation.ttl`` of the corpus file).

        Returns:
            Whether it was kept. It was not when one of its documents has changed since or is erased,
            when that is no longer known, or when an answer from a later publication is there.

        Raises:
            ValueError: more than ``MAX_DOCUMENTS`` documents, or a ttl that is not above 0.
            TargetUnavailable: Redis does not answer; go on without a cache.
        """
        used = sorted(set(documents))
        if len(used) > MAX_DOCUMENTS:
            raise ValueError(f"an answer from {len(used)} documents; allowed: {MAX_DOCUMENTS}")
        if ttl is not None and ttl <= 0:
            raise ValueError(f"ttl {ttl}; allowed: above 0")
        keys, indexes = self._keys, [self._keys.index(document) for document in used]
        with translated("keep an answer"):
            outcome = self._put(
                keys=[keys.meta, keys.changes, keys.erased, keys.ttl, keys.answer(question_key), *indexes],
                args=[publication, "" if ttl is None else ttl, value, question_key, PRUNED, *used],
            )
        return bool(outcome == b"kept")
