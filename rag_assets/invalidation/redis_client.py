"""A connection to Redis, Valkey or a cluster of either. The seam to redis-py: nothing it raises escapes.

Commands of Redis 6.2 and no newer ones. Loads redis-py only when it connects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from rag_assets.errors import ConfigurationError, TargetUnavailable, redacted
from rag_assets.invalidation.target import TargetRefused

if TYPE_CHECKING:
    from redis import Redis
    from redis.cluster import RedisCluster

    Client: TypeAlias = Redis | RedisCluster

_ECHO = re.compile(r"(with args beginning with:).*", re.DOTALL)
"""How a server repeats a command that it does not know, AUTH and its password for instance."""


def connect(url: str, *, cluster: bool = False, timeout_seconds: float = 5.0) -> Client:
    """A client whose every command fails within a bounded time. A cluster is asked for its nodes at once.

    Args:
        url: ``redis://…``, ``rediss://…`` or ``unix://…``, with user and password.
        cluster: whether the URL leads to a cluster.
        timeout_seconds: for connecting, and for each reply.

    Raises:
        ConfigurationError: that is no such URL. Does not show it.
        TargetUnavailable: a cluster does not answer.
    """
    from redis import Redis
    from redis.backoff import ConstantBackoff
    from redis.cluster import RedisCluster
    from redis.connection import parse_url
    from redis.retry import Retry

    check_url(url)
    # Once more: a pooled connection may be to a server that has been started anew since.
    options = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(ConstantBackoff(0.05), 1),
    }
    with translated("connect", parse_url(url)):
        if cluster:
            return RedisCluster.from_url(url, **options)
        return Redis.from_url(url, **options)


def check_url(url: str) -> None:
    """See that a URL is one of Redis. Raises ConfigurationError, which does not show it."""
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        pool = Redis.from_url(url).connection_pool
        pool.make_connection()  # knows its options; connects with the first command
    except (ValueError, AttributeError, TypeError, RedisError):
        schemes = "redis://, rediss:// or unix://"
        raise ConfigurationError(
            f"found what is no URL of Redis, or has options that its client does not know; allowed: {schemes}"
        ) from None
    _check_decoding(pool.connection_kwargs)


def options_of(client: Client) -> Mapping[str, Any]:
    """What a client connects with, its password included. Raises ConfigurationError when it decodes replies."""
    from redis.cluster import RedisCluster

    options: Mapping[str, Any]
    if isinstance(client, RedisCluster):
        options = client.get_connection_kwargs()
    else:
        options = client.connection_pool.connection_kwargs
    _check_decoding(options)
    return options


def _check_decoding(options: Mapping[str, Any]) -> None:
    if options.get("decode_responses"):
        raise ConfigurationError(
            "the connection to Redis has decode_responses; answers are bytes: leave it out"
        )


@contextmanager
def translated(what: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Turn redis-py's errors into this package's: refused where only a person can help, else to be tried again.

    Servers echo what they do not understand, a password among it. Neither the message nor the chain of errors, which
    a log shows, holds it.

    Args:
        what: is attempted, for the message.
        options: of the connection; the password is among them.
    """
    from redis import exceptions as foreign

    refusals = (
        foreign.AuthenticationError,
        foreign.AuthenticationWrongNumberOfArgsError,
        foreign.AuthorizationError,
        foreign.NoPermissionError,
        foreign.DataError,
    )
    try:
        yield
    except refusals as error:
        raise TargetRefused(f"Redis refused to {what}: {_shown(error, options)}") from None
    except (foreign.RedisError, foreign.RedisClusterException, OSError) as error:
        raise TargetUnavailable(f"Redis could not {what}: {_shown(error, options)}") from None


def _shown(error: Exception, options: Mapping[str, Any]) -> str:
    provider = options.get("credential_provider")
    passwords = (options.get("password"), options.get("ssl_password"), getattr(provider, "password", None))
    text = redacted(str(error), [str(password) for password in passwords if password])
    return _ECHO.sub(r"\1 …", text)
