"""Answers in Redis that are forgotten when a document they used changes. For services.

``AnswerCache(url, "handbook")`` → ``get`` / ``put``. The target of type redis purges what they put.
Loads neither Polars nor LanceDB.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, cast

from rag_assets.invalidation import scripts
from rag_assets.invalidation.keys import RedisKeys
from rag_assets.invalidation.redis_client import connect, options_of, translated

if TYPE_CHECKING:
    from rag_assets.invalidation.redis_client import Client

MAX_DOCUMENTS = 1000
LONGEST_TTL = 10 * 365 * 24 * 60 * 60
"""Seconds."""
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
        self._options = options_of(redis)
        self._keys = RedisKeys(corpus)
        self._put = redis.register_script(scripts.PUT)

    def get(self, question_key: str) -> bytes | None:
        """The answer under a key; None if there is none, or it is not certain that it would be purged.

        Raises:
            TargetUnavailable: Redis does not answer; answer without a cache.
        """
        with translated("read an answer", self._options):
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
            ttl: seconds, up to ``LONGEST_TTL``; default: as often as its documents change (``invalidation.ttl`` of
                the corpus file).

        Returns:
            Whether it was kept. It was not when one of its documents has changed since or is erased,
            when that is no longer known, or when an answer from a later publication is there.

        Raises:
            ValueError: a mistake of the caller: more than ``MAX_DOCUMENTS`` documents, a ttl that is no number above 0
                and up to ``LONGEST_TTL``, a publication that is no number of one, ids or a key that are no text.
            TargetUnavailable: Redis does not answer; go on without a cache.
        """
        used = _checked_documents(documents)
        _check_text(question_key, "question_key")
        _check_publication(publication)
        if ttl is not None:
            _check_ttl(ttl)
        keys, indexes = self._keys, [self._keys.index(document) for document in used]
        with translated("keep an answer", self._options):
            outcome = self._put(
                keys=[keys.meta, keys.changes, keys.erased, keys.ttl, keys.answer(question_key), *indexes],
                args=[publication, "" if ttl is None else ttl, value, question_key, PRUNED, *used],
            )
        return bool(outcome == b"kept")


def _checked_documents(documents: Collection[str]) -> list[str]:
    if isinstance(documents, str | bytes):
        raise ValueError("documents: found one text; allowed: a collection of document ids")
    used = set(documents)
    if len(used) > MAX_DOCUMENTS:
        raise ValueError(f"an answer from {len(used)} documents; allowed: {MAX_DOCUMENTS}")
    for document in used:
        _check_text(document, "documents")
    return sorted(used)


def _check_text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name}: found {type(value).__name__}; allowed: text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: found {ascii(value)[:80]}; allowed: text that UTF-8 can hold") from error


def _check_publication(publication: object) -> None:
    if isinstance(publication, bool) or not isinstance(publication, int) or not 0 <= publication < 2**53:
        raise ValueError(f"publication: found {_shown(publication)}; allowed: the number of a publication")


def _check_ttl(ttl: object) -> None:
    # nan is neither above nor below anything; a boolean is an int to Python.
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= LONGEST_TTL:
        raise ValueError(f"ttl: found {_shown(ttl)}; allowed: seconds above 0, up to {LONGEST_TTL:,}")


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) >= 2**53:
        return "an integer of too many digits"
    return ascii(value)[:40] if isinstance(value, int | float | str) else type(value).__name__
