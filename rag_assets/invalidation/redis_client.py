"""A connection to Redis, Valkey or a cluster of either. The seam to redis-py: nothing it raises escapes.

Commands of Redis 6.2 and no newer ones. Loads redis-py only when it connects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from rag_assets.errors import ConfigurationError, TargetUnavailable, redacted
from rag_assets.invalidation.target import TargetRefused

if TYPE_CHECKING:
    from redis import Redis
    from redis.cluster import RedisCluster

    Client: TypeAlias = Redis | RedisCluster


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
    from redis.retry import Retry

    check_url(url)
    # Once more: a pooled connection may be to a server that has been started anew since.
    options = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(ConstantBackoff(0.05), 1),
    }
    with translated("connect"):
        if cluster:
            return RedisCluster.from_url(url, **options)
        return Redis.from_url(url, **options)


def check_url(url: str) -> None:
    """See that a URL is one of Redis. Raises ConfigurationError, which does not show it."""
    from redis.connection import parse_url

    try:
        parse_url(url)
    except (ValueError, AttributeError):
        schemes = "redis://, rediss:// or unix://"
        raise ConfigurationError(f"found what is no URL of Redis; allowed: {schemes}") from None


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn redis-py's errors into this package's: refused where only a person can help, else to be tried again."""
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
        raise TargetRefused(f"Redis refused to {what}: {redacted(str(error))}") from error
    except (foreign.RedisError, foreign.RedisClusterException, OSError) as error:
        raise TargetUnavailable(f"Redis could not {what}: {redacted(str(error))}") from error
