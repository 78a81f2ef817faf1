"""What a corpus file says about when it is brought up to date: events, webhooks, watching, schedule, freshness."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from rag_assets.corpus.base import Group, VariableName
from rag_assets.corpus.sources import BUCKET

Scheme = Literal["standard", "github", "bearer"]
REPOSITORY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$"
BUCKET_PATTERN = rf"^{BUCKET}$"
Hours = Annotated[float, Field(ge=0.017, le=87_600)]
"""From a minute, the least that Dagster takes, to ten years."""
_VALUE = r"(?:[0-9]+|[A-Za-z]{3})"
_TERM = rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/[0-9]+)?"
_CRON = re.compile(rf"{_TERM}(?:,{_TERM})*")
"""One field. Each library knows other extensions (L, W, #), and Dagster's refuses some that cronsim takes."""


class Webhooks(Group):
    """Who may announce changes over HTTP, and how much of it."""

    secret_variable: VariableName = Field(
        description="Environment variable that holds the secret, or two of them with a space between while one "
        "replaces the other."
    )
    accept: tuple[Scheme, ...] = Field(
        default=("standard",),
        min_length=1,
        description="standard: Standard Webhooks signatures. github: GitHub's. bearer: a token that the sender holds.",
    )
    prefix: str = Field(
        default="",
        description="Put before the paths that GitHub and S3 events name, to make document ids of them.",
        examples=["handbook/"],
    )
    repository: str | None = Field(
        default=None,
        pattern=REPOSITORY_PATTERN,
        description="GitHub repository, owner/name, whose pushes count; those of others are ignored. Unset: no push "
        "counts.",
        examples=["acme/handbook"],
    )
    branch: str | None = Field(
        default=None,
        min_length=1,
        description="Branch of that repository whose pushes count. Unset: its default branch.",
    )
    bucket: str | None = Field(
        default=None,
        pattern=BUCKET_PATTERN,
        description="Bucket whose S3 events count; those of others are ignored. Only where the corpus has no source of "
        "type s3, whose url names it. Unset: no S3 event counts.",
    )
    max_body_bytes: int = Field(
        default=5_000_000, ge=1_000, le=100_000_000, description="Larger requests are refused unread."
    )
    requests_per_minute: int = Field(
        default=600,
        ge=1,
        le=1_000_000,
        description="Requests that one sender may make in a minute; more are refused.",
    )

    @model_validator(mode="after")
    def _pushes_can_come(self) -> Webhooks:
        if self.repository is not None and "github" not in self.accept:
            raise ValueError("repository is set, but accept has no github: no push can come")
        if self.branch is not None and self.repository is None:
            raise ValueError("branch needs repository: owner/name")
        return self


class Watch(Group):
    """Looking for changes in sources that announce none."""

    poll_seconds: int = Field(
        default=60, ge=5, le=604_800, description="Seconds between two looks at the sources."
    )


class Events(Group):
    """Reindexing of what changed, as it changes."""

    webhooks: Webhooks | None = Field(default=None, description="Accept events over HTTP. Unset: none.")
    watch: Watch | None = Field(
        default=None, description="Look for changes. Unset: sources are not looked at."
    )
    debounce_seconds: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="A run starts when no event has come for this long; at most max_delay_seconds.",
    )
    max_delay_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="A run starts at the latest this long after an event."
    )
    max_attempts: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Runs that may fail over an event, the last of them over it alone; then it is set aside as dead.",
    )

    @model_validator(mode="after")
    def _events_come_from_somewhere(self) -> Events:
        if self.webhooks is None and self.watch is None:
            raise ValueError("set webhooks, watch or both: without them no event comes")
        return self

    @model_validator(mode="after")
    def _waits_for_quiet_no_longer_than_for_anything(self) -> Events:
        if self.debounce_seconds > self.max_delay_seconds:
            raise ValueError(
                f"debounce_seconds ({self.debounce_seconds:g}) must not be above max_delay_seconds "
                f"({self.max_delay_seconds:g}), or the events' quiet would never be waited for"
            )
        return self


class Schedule(Group):
    """A run at fixed times that looks at everything."""

    cron: str = Field(
        description="Minute, hour, day of month, month, day of week: numbers, names such as JAN and MON, and * , - /.",
        examples=["0 3 * * *"],
    )
    timezone: str = Field(
        default="UTC", description="Where the clock of cron stands.", examples=["Europe/Berlin"]
    )

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, cron: str) -> str:
        parts = cron.split()
        if len(parts) != 5:
            raise ValueError(f"{cron!r} is no cron expression of five fields")
        if not all(map(_CRON.fullmatch, parts)):
            raise ValueError(
                f"{cron!r} is no cron expression of numbers, names such as JAN and MON, and * , - / (no L, W, # and ?)"
            )
        try:
            found = CronSim(cron, datetime.now(UTC))
        except CronSimError as error:
            raise ValueError(f"{cron!r} is no cron expression: {error}") from error
        if found.months == {2} and min(found.days) > 29:
            raise ValueError(f"{cron!r} names a day that February does not have")
        return cron

    @field_validator("timezone")
    @classmethod
    def _is_a_timezone(cls, timezone: str) -> str:
        if timezone not in available_timezones():
            raise ValueError(f"{timezone!r} is no time zone of the IANA database, such as Europe/Berlin")
        return timezone


class Freshness(Group):
    """How old what readers see may be, counted from the last successful run."""

    fail_hours: Hours = Field(
        description="Hours after which the publication counts as stale, from a minute to ten years."
    )
    warn_hours: Hours | None = Field(
        default=None,
        description="Hours after which the Dagster UI warns, from a minute on; fewer than fail_hours.",
    )

    @model_validator(mode="after")
    def _warns_first(self) -> Freshness:
        fail = timedelta(hours=self.fail_hours)  # in microseconds, as Dagster compares them
        if self.warn_hours is not None and timedelta(hours=self.warn_hours) >= fail:
            raise ValueError("warn_hours must be below fail_hours")
        return self
