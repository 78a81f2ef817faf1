"""Target: answers that services keep with ``AnswerCache`` in Redis, Valkey or a cluster.

page of a notice → what changed is noted, so that late answers are refused → the answers that
used it are removed → after the last page the publication counts as told. Repeating any of it
does no harm, and an old page does not undo a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rag_assets.corpus import invalidation as config
from rag_assets.errors import ConfigurationError
from rag_assets.invalidation import scripts
from rag_assets.invalidation.environment import Environment
from rag_assets.invalidation.keys import RedisKeys
from rag_assets.invalidation.notice import PAGE_DOCUMENTS, Notice
from rag_assets.invalidation.redis_client import check_url, connect, translated
from rag_assets.invalidation.target import Superseded
from rag_assets.invalidation.ttl import Ttls

if TYPE_CHECKING:
    from rag_assets.invalidation.redis_client import Client

BATCH = 500  # documents or answers in one round trip or script
KEPT_CHANGES = 200_000
KEPT_CHANGES_MS = 24 * 60 * 60 * 1000  # an answer that takes longer to compute is refused


class RedisTarget:
    """Purges the answers of one corpus. Connects when it is first used.

    Args:
        target: the target of the corpus file.
        corpus: name of the corpus.
        environment: holds the URL.
        ttls: how long answers may live; called when a publication was told.

    Raises:
        SecretMissing: there is no URL.
        ConfigurationError: it is no URL of Redis.
    """

    def __init__(
        self, target: config.Redis, corpus: str, environment: Environment, ttls: Callable[[], Ttls]
    ) -> None:
        from redis.connection import parse_url

        self._url = environment.read(target.url_variable, "the URL of Redis")
        try:
            check_url(self._url)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"target {target.name}: environment variable {target.url_variable}: {error}"
            ) from None
        self._cluster = target.cluster
        self._keys = RedisKeys(corpus)
        self._ttls = ttls
        self._connected: Client | None = None
        self._options = parse_url(self._url)

    def send(self, notice: Notice) -> None:
        """See ``Target``."""
        with translated("forget answers", self._options):
            self._begin(notice)
            self._note(notice)
            erased = set(notice.erased)
            self._forget(notice.erased, None)
            self._forget([name for name in notice.forgotten if name not in erased], notice.publication)
            if notice.page == notice.pages:
                self._advance(notice)

    def told(self, epoch: str) -> int | None:
        """See ``Counting``: a server without persistence knows nothing, an old replica less."""
        with translated("be asked what it knows", self._options):
            current, found = self._client.hmget(self._keys.meta, "current", "epoch")
        return None if current is None or found != epoch.encode() else int(current)

    @property
    def _client(self) -> Client:
        if self._connected is None:
            self._connected = connect(self._url, cluster=self._cluster)
        return self._connected

    def _begin(self, notice: Notice) -> None:
        """Forget all answers if the notice demands it or does not follow what was told last."""
        keys = self._keys
        begin = self._client.register_script(scripts.BEGIN)
        everything = "1" if notice.everything else "0"
        found = begin(
            keys=[keys.meta, keys.changes, keys.times, keys.erased],
            args=[
                *(notice.publication, notice.after, everything, notice.epoch, notice.batch),
                *("1" if _sweeping(notice) else "0", notice.page),
            ],
        )
        if found != 1:
            raise Superseded("it follows another ledger, and is told to forget everything", found.decode())

    def _note(self, notice: Notice) -> None:
        """What the page names: before the purge, so that no answer slips in behind it."""
        pipeline = self._client.pipeline(transaction=False)
        for batch in _batches(() if _sweeping(notice) else (*notice.changed, *notice.removed)):
            stamps = dict.fromkeys(batch, notice.publication)
            pipeline.zadd(self._keys.changes, stamps, gt=True)
        for batch in _batches((*notice.changed, *notice.added)):  # there is a new document in its place …
            pipeline.srem(self._keys.erased, *batch)
        for batch in _batches(notice.erased):  # … unless the page says otherwise
            pipeline.sadd(self._keys.erased, *batch)
        pipeline.execute()

    def _forget(self, documents: Sequence[str], before: int | None) -> None:
        """Remove the answers that used a document and were made before a publication; None: all of them."""
        forget = self._client.register_script(scripts.FORGET)
        pairs = iter(self._answers_of(documents))
        while batch := list(islice(pairs, BATCH)):
            keys = [
                key
                for document, answer in batch
                for key in (self._keys.index(document), self._keys.answer(answer))
            ]
            args = [part for pair in batch for part in pair]
            forget(keys=keys, args=["" if before is None else before, *args])

    def _answers_of(self, documents: Sequence[str]) -> Iterator[tuple[str, str]]:
        """(document, key of an answer) for all answers in the indexes; holds one batch of documents."""
        for batch in _batches(documents):
            cursors = dict.fromkeys(batch, 0)
            while cursors:
                pipeline = self._client.pipeline(transaction=False)
                for document, cursor in cursors.items():
                    # Unlike a range, it passes over nothing when members come and go meanwhile.
                    pipeline.zscan(self._keys.index(document), cursor, count=BATCH)
                replies = pipeline.execute()
                following = {}
                for document, (cursor, members) in zip(cursors, replies, strict=True):
                    yield from ((document, member.decode()) for member, _ in members)
                    if cursor != 0:
                        following[document] = cursor
                cursors = following

    def _advance(self, notice: Notice) -> None:
        ttls = self._ttls()
        keys, shorter = self._keys, list(ttls.shorter.items())
        pipeline = self._client.pipeline(transaction=False)
        pipeline.unlink(keys.ttl)
        for start in range(0, len(shorter), BATCH):
            pipeline.hset(keys.ttl, mapping=dict(shorter[start : start + BATCH]))
        pipeline.execute()
        advance = self._client.register_script(scripts.ADVANCE)
        floor = advance(
            keys=[keys.meta, keys.changes, keys.times],
            args=[notice.publication, notice.epoch, ttls.default, KEPT_CHANGES_MS, KEPT_CHANGES],
        )
        if floor is None:
            raise Superseded("it was told by another ledger, or lost its data, meanwhile")
        prune = self._client.register_script(scripts.PRUNE)
        while prune(keys=[keys.changes], args=[floor, BATCH]) == BATCH:
            pass


def _sweeping(notice: Notice) -> bool:
    """Whether so much changed that all late answers from before are refused, instead of noting each change."""
    return notice.pages * PAGE_DOCUMENTS > KEPT_CHANGES


def _batches(documents: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(documents), BATCH):
        yield documents[start : start + BATCH]
