"""From this package's errors to Dagster's: a retry only where it may help, a description that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from rag_assets.errors import RagAssetsError

RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what the error family calls retryable; everything else fails at once."""


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error that a retry cannot heal into a Failure without retries."""
    try:
        yield
    except RagAssetsError as error:
        if error.retryable:
            raise
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__},
            allow_retries=False,
        ) from error
