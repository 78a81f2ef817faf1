"""The check ``events``: whether every event that a run took had an effect, in Dagster's words."""

from __future__ import annotations

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.pipeline.events import EventCounts

CHECK = "events"


def event_specs(corpus: Corpus) -> list[dg.AssetCheckSpec]:
    """The check, where the corpus file asks for events. It blocks nothing: the other documents are right."""
    if corpus.events is None:
        return []
    return [
        dg.AssetCheckSpec(
            CHECK,
            asset=dg.AssetKey([corpus.name, "documents"]),
            description="Every event that this run took had an effect. Those that could not are set aside, with reasons.",
        )
    ]


def event_results(corpus: Corpus, counts: EventCounts) -> list[dg.AssetCheckResult]:
    """What the check found; none as for ``event_specs``."""
    if corpus.events is None:
        return []
    listed = f"rag-assets inbox list {corpus.name} --state dead"
    return [
        dg.AssetCheckResult(
            check_name=CHECK,
            passed=counts.dead == 0,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{counts.dead} events were set aside; {listed} names the reasons"
            if counts.dead
            else None,
            metadata={
                "taken": counts.taken,
                "applied": counts.applied,
                "dead": counts.dead,
                "absent": counts.absent,
            },
        )
    ]
