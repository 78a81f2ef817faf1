"""OpenAI-compatible endpoints: their client, their keys, and their words without keys. The seam to the openai client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from rag_assets.errors import ConfigurationError, redacted

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NO_KEY = "none"  # what a server without keys is sent: the client insists on one


class Endpoint(Protocol):
    """What the corpus file says of an endpoint."""

    @property
    def url(self) -> str:
        """Up to and with /v1."""
        ...

    @property
    def key_variable(self) -> str:
        """Environment variable that holds the key."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """For one attempt."""
        ...

    @property
    def retries(self) -> int:
        """Further attempts."""
        ...


def open_client(config: Endpoint) -> tuple[AsyncOpenAI, str]:
    """A client for one event loop, and the key that must not be shown.

    Raises:
        ConfigurationError: the key cannot be one.
    """
    key = _read_key(config.key_variable)
    from openai import AsyncOpenAI  # takes half a second

    client = AsyncOpenAI(
        base_url=config.url,
        api_key=key,
        max_retries=config.retries,
        timeout=config.timeout_seconds,
    )
    return client, key


def shown(text: str, key: str) -> str:
    """The first line of what a server wrote, without the key: servers repeat what they refuse."""
    for secret in {key, repr(key)[1:-1]} - {NO_KEY}:
        text = text.replace(secret, "…")
    line = next((line for line in redacted(text).splitlines() if line.strip()), "nothing")
    return line.strip()[:200]


def _read_key(variable: str) -> str:
    """The key, without the line break that a mounted secret ends with.

    Raises:
        ConfigurationError: it cannot be sent in a header.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        return NO_KEY
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the environment variable {variable} holds no key: there is white space or a character in it that no "
            "header can carry"
        )
    return key
