"""Tells Redis notices without a store or a ledger: for tests of the cache alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag_assets.corpus.invalidation import Redis
from rag_assets.invalidation.environment import Environment
from rag_assets.invalidation.notice import Notice, Span, net_changes, paged
from rag_assets.invalidation.redis_target import RedisTarget
from rag_assets.invalidation.ttl import Ttls
from rag_assets_tests.invalidation.history import NAME, frame


class Teller:
    """One ledger's worth of notices for one corpus."""

    def __init__(self, url: str, *, cluster: bool = False, corpus: str = NAME) -> None:
        config = Redis(type="redis", name="cache", url_variable="URL", cluster=cluster)
        environment = Environment({"URL": url}, "cache")
        self.target = RedisTarget(config, corpus, environment, lambda: Ttls(1000, {}))
        self.corpus = corpus
        self.epoch = "2026-01-01"

    def pages(
        self,
        after: int,
        publication: int,
        *records: Mapping[str, str],
        erased: Sequence[str] = (),
        erasures: tuple[int, int] = (0, 0),
        everything: bool = False,
        size: int = 1000,
    ) -> list[Notice]:
        span = Span(after, publication, *erasures, everything=everything)
        changes = net_changes(frame(record) for record in records)
        made = paged(self.corpus, span, changes, erased, kind="publish", time="", epoch=self.epoch, size=size)
        return list(made)

    def send(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self.target.send(notice)

    def start(self, publication: int = 1) -> None:
        """The first notice of every ledger."""
        self.send(self.pages(0, publication, everything=True))

    def tell(self, publication: int, *records: Mapping[str, str], erased: Sequence[str] = ()) -> None:
        """The next publication."""
        self.send(self.pages(publication - 1, publication, *records, erased=erased))
