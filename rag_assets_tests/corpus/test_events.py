"""When a corpus is brought up to date: whatever loads, Dagster takes as well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rag_assets.corpus.events import Events, Freshness, Schedule


@pytest.mark.parametrize(
    "cron",
    [
        "0 3 LW * *",
        "0 3 L * *",
        "0 3 L/2 * *",
        "0 3 15W * *",
        "0 3 * * 5L",
        "0 3 * * MON#2",
        "0 3 ? * *",
        "H 3 * * *",
        "@daily",
        "0 3 * * * *",
        "0 0 30 2 1",
        "0 0 31 FEB 1",
        "0 0 31 2 *",
        f"{'0' * 5000} 3 * * *",
    ],
)
def test_a_cron_expression_that_not_everybody_knows_is_refused(cron: str) -> None:
    with pytest.raises(ValidationError, match="cron"):
        Schedule(cron=cron)


@pytest.mark.parametrize(
    "cron", ["0 3 * * *", "*/5 0-6,22 1,15 jan-MAR Mon-fri", "0 0 * JUL WED", "5/10 * * * 7"]
)
def test_a_plain_cron_expression_loads(cron: str) -> None:
    assert Schedule(cron=cron).cron == cron


FIELDS = st.one_of(
    st.just("*"),
    st.from_regex(r"[0-9]{1,2}(-[0-9]{1,2})?(/[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["JUL", "sun", "MON-FRI", "FEB", "L", "LW", "5L", "1#2", "15W", "?", "*/2", "30,31"]),
)


@pytest.mark.filterwarnings("ignore:Found a cron schedule with an interval")  # steps above the range: as cron
@given(st.tuples(FIELDS, FIELDS, FIELDS, FIELDS, FIELDS).map(" ".join))
@example("0 0 30 2 1")
@example("0 3 LW * *")
def test_every_cron_expression_that_loads_is_one_for_dagster(cron: str) -> None:
    try:
        Schedule(cron=cron)
    except ValidationError:
        return
    dg.ScheduleDefinition(name="nightly", job_name="job", cron_schedule=cron)


@pytest.mark.parametrize(
    "freshness",
    [
        {"fail_hours": 0.0001},
        {"fail_hours": 1e300},
        {"fail_hours": 90_000},
        {"fail_hours": 1, "warn_hours": 0.0001},
        {"fail_hours": 1, "warn_hours": 1},
        {"fail_hours": 1.0000000000002, "warn_hours": 1},
    ],
)
def test_hours_that_dagster_cannot_count_are_refused(freshness: Mapping[str, float]) -> None:
    with pytest.raises(ValidationError, match="hours"):
        Freshness.model_validate(freshness)


@pytest.mark.parametrize(("fail", "warn"), [(0.017, None), (0.018, 0.017), (87_600, 87_599)])
def test_the_least_and_the_most_hours_are_a_policy(fail: float, warn: float | None) -> None:
    found = Freshness(fail_hours=fail, warn_hours=warn)
    warned = None if found.warn_hours is None else timedelta(hours=found.warn_hours)
    dg.FreshnessPolicy.time_window(timedelta(hours=found.fail_hours), warned)


@pytest.mark.parametrize("seconds", [{"debounce_seconds": 90}, {"max_delay_seconds": 1}])
def test_a_quiet_that_would_never_be_waited_for_is_refused(seconds: dict[str, Any]) -> None:
    with pytest.raises(
        ValidationError, match=r"debounce_seconds \(\d+\) must not be above max_delay_seconds"
    ):
        Events.model_validate({"watch": {}, **seconds})
    Events.model_validate({"watch": {}, "debounce_seconds": 60, "max_delay_seconds": 60})
