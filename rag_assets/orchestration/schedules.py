"""Schedules: a whole run at the times that a corpus file gives, on the clock of its time zone."""

from __future__ import annotations

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.jobs import job_name
from rag_assets.orchestration.tags import BY_TAG


def corpus_schedules(corpus: Corpus) -> list[dg.ScheduleDefinition]:
    """The schedule of a corpus, or none. It is on: the corpus file turned it on."""
    if corpus.schedule is None:
        return []
    return [
        dg.ScheduleDefinition(
            name=f"{corpus.name}_schedule",
            job_name=job_name(corpus, "job"),
            cron_schedule=corpus.schedule.cron,
            execution_timezone=corpus.schedule.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            tags={BY_TAG: "schedule"},
        )
    ]
