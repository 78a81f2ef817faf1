"""Target: a CDN or reverse proxy that purges by surrogate key over HTTP, such as Fastly, Cloudflare or Varnish.

A service tags each reply with the keys of the documents that it used (``keys.surrogate_key``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from rag_assets.corpus import invalidation as config
from rag_assets.errors import ConfigurationError
from rag_assets.invalidation.environment import Environment
from rag_assets.invalidation.http import request
from rag_assets.invalidation.keys import surrogate_key
from rag_assets.invalidation.notice import Notice


class CdnTarget:
    """Sends one request for each batch of keys. Purging a key twice does no harm.

    Raises:
        SecretMissing: a variable that the URL or a header names is not set.
    """

    def __init__(self, target: config.Cdn, environment: Environment) -> None:
        self._target = target
        self._url = environment.filled(target.url, "a part of the URL")
        if any(found in self._url for found in "@?# "):
            raise ConfigurationError(
                f"target {target.name}: what the environment puts into {target.url} holds '@', '?', '#' or a space"
            )
        self._headers = {
            name: environment.filled(value, f"a part of the header {name}")
            for name, value in target.headers.items()
        }

    def send(self, notice: Notice) -> None:
        """See ``Target``."""
        template, corpus = self._target.key, notice.corpus
        keys = [surrogate_key(template, corpus, document) for document in notice.forgotten]
        # First: it also forgets what other pages name.
        if notice.everything and notice.page == 1:
            keys.insert(0, surrogate_key(self._target.everything_key, corpus))
        for start in range(0, len(keys), self._target.batch):
            self._purge(keys[start : start + self._target.batch])

    def _purge(self, keys: Sequence[str]) -> None:
        separator = self._target.separator
        joined = (separator or " ").join(keys)
        headers = {name: value.replace(config.KEYS, joined) for name, value in self._headers.items()}
        listed = json.dumps(list(keys)) if separator is None else joined
        body = self._target.body.replace(config.KEYS, listed)
        if body and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = "application/json" if separator is None else "text/plain"
        request(self._target.method, self._url, headers, body.encode(), self._target.timeout_seconds)
