"""Why a request is not taken, and how its sender is told: problem details (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

Reason = Literal[
    "unknown-corpus",
    "too-many-requests",
    "media-type",
    "headers-too-large",
    "too-large",
    "too-slow",
    "incomplete",
    "unauthorized",
    "invalid",
    "unknown-origin",
    "busy",
    "inbox-unavailable",
    "not-found",
    "method-not-allowed",
    "internal",
]
PROBLEM_TYPE = "application/problem+json"
MOST_ERRORS = 20


class Problem(BaseModel):
    """What every answer with an error says."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    reason: Reason = Field(description="For programs; the same words label the metrics.")
    detail: str = Field(description="For people: what was found, what is allowed, what to do.")
    errors: list[str] = Field(
        default=[], max_length=MOST_ERRORS, description="Mistakes in the body, each with its place."
    )


class Refusal(Exception):
    """A request that is not taken.

    Args:
        status: of the HTTP answer.
        detail: for the sender and the log. Holds nothing that the sender wrote.
        errors: mistakes in the body, for the sender alone; so many of them are told.
        retry_after: seconds after which the same request may succeed.
    """

    def __init__(
        self,
        status: int,
        reason: Reason,
        detail: str,
        *,
        errors: Sequence[str] = (),
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.errors = [*errors[:MOST_ERRORS]]
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    def response(self) -> JSONResponse:
        """The answer."""
        problem = Problem(
            title=self.title,
            status=self.status,
            reason=self.reason,
            detail=self.detail,
            errors=self.errors,
        )
        return JSONResponse(problem.model_dump(), self.status, self.headers, PROBLEM_TYPE)
