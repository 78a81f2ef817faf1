"""Delivery: tell every target what it has not been told, in order, at least once, and keep book.

corpus file + secrets → targets → ``telling`` for each of them → outcomes. Targets are independent:
each has its own lease, ledger and failures. Run it alone: ``rag-assets invalidation deliver handbook``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from rag_assets import corpus as models
from rag_assets.errors import ConfigurationError, NotPublished
from rag_assets.invalidation.open import open_target
from rag_assets.invalidation.published import Published
from rag_assets.invalidation.telling import Outcome, Telling
from rag_assets.invalidation.ttl import Ttls, read_ttls
from rag_assets.store.objects import ObjectStore

__all__ = ["Outcome", "deliver", "retry"]

TARGETS_AT_ONCE = 4


def deliver(
    objects: ObjectStore, corpus: models.Corpus, environ: Mapping[str, str] = os.environ
) -> list[Outcome]:
    """Tell all targets of a corpus what they have not been told. Does nothing for those that know all.

    Args:
        objects: the store.
        corpus: the corpus file; without targets nobody is told.
        environ: where the targets' secrets are.

    Returns:
        One outcome for each target, in the order of the corpus file. A failure is an outcome.

    Raises:
        SecretMissing: a secret is not set; nothing was sent to anyone.
        ConfigurationError: a target cannot be set up; nothing was sent to anyone.
        StoreUnavailable: the publication log could not be read.
    """
    return _deliver(objects, corpus, environ, None, again=False)


def retry(
    objects: ObjectStore,
    corpus: models.Corpus,
    environ: Mapping[str, str] = os.environ,
    *,
    target: str | None = None,
) -> list[Outcome]:
    """As ``deliver``, without waiting, and with the dead letters: one span up to what readers see now.

    Args:
        target: only this one; None for all.

    Raises:
        ConfigurationError: there is no such target. Else as ``deliver``.
    """
    return _deliver(objects, corpus, environ, target, again=True)


def _deliver(
    objects: ObjectStore, corpus: models.Corpus, environ: Mapping[str, str], only: str | None, *, again: bool
) -> list[Outcome]:
    group = corpus.invalidation
    configured = group.targets if group else ()
    chosen = [target for target in configured if only in (None, target.name)]
    if only is not None and not chosen:
        names = ", ".join(target.name for target in configured) or "none"
        raise ConfigurationError(f"{corpus.name} has no invalidation target {only!r}; targets: {names}")
    if group is None:
        return []

    def ttls() -> Ttls:
        return read_ttls(objects, corpus.name, group.ttl, datetime.now(UTC))

    opened = [open_target(target, corpus.name, environ, ttls) for target in chosen]
    try:
        published = Published(objects, corpus.name)
    except NotPublished:  # nobody can have cached anything
        return [Outcome(target.name, "up to date", 0) for target in opened]
    telling = Telling(objects, corpus.name, group.max_attempts, again)
    with ThreadPoolExecutor(TARGETS_AT_ONCE) as pool:
        return list(pool.map(partial(telling.tell, published), opened))
