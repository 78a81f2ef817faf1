"""From this package's errors to Dagster's: a retry only where it may help, a description that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_shared.error import SerializableErrorInfo

from rag_assets.errors import (
    ConfigurationError,
    DataError,
    PublicationConflict,
    PublicationError,
    RagAssetsError,
    WorldError,
)

RETRY = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For what the error family calls retryable; everything else fails at once."""


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error that a retry cannot heal, a bug included, into a Failure without retries."""
    try:
        yield
    except (DagsterExecutionInterruptedError, KeyboardInterrupt) as interrupt:
        # Dagster retries an interrupted step, which is right for one that lost its machine. Where the step runs in
        # the run's own process, it was the run that was cancelled: it would go on behind everybody's back.
        if _in_own_process():
            raise
        raise dg.Failure("the run was interrupted", allow_retries=False) from interrupt
    except Exception as error:  # the seam to Dagster, which retries whatever it does not know
        # A conflict heals by building on what was published meanwhile: by another run, not by another try.
        if (
            isinstance(error, RagAssetsError)
            and error.retryable
            and not isinstance(error, PublicationConflict)
        ):
            raise
        known = isinstance(error, RagAssetsError)
        raise dg.Failure(
            description=str(error) if known else f"{type(error).__name__}: {error}",
            metadata={"error": type(error).__name__, "family": _family(error)},
            allow_retries=False,
        ) from error


def _in_own_process() -> bool:
    """Whether the step has a process to itself: then it leaves retries to the process of the run."""
    return dg.OpExecutionContext.get().get_step_execution_context().retry_mode.deferred


def _family(error: Exception) -> str:
    families = (DataError, ConfigurationError, WorldError, PublicationError)
    return next((family.__name__ for family in families if isinstance(error, family)), "bug")


def message_of(error: SerializableErrorInfo | None) -> str | None:
    """Our message: Dagster's errors wrap it, and the foreign error that it explains lies below it."""
    while (
        error is not None
        and (error.cls_name or "").startswith(("Dagster", "Retry"))
        and error.cause is not None
    ):
        error = error.cause
    if error is None:
        return None
    return re.sub(
        r"^(rag_assets[\w.]*\.)?\w+(Error|Unavailable|Conflict|Missing)?: ",
        "",
        error.message.strip(),
        count=1,
    )
