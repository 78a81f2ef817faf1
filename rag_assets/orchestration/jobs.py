"""Jobs of one corpus: everything, what events name, and telling caches.

All assets of a job run where ``RAG_EXECUTOR`` says; in one process unless it is set, so that a model is
loaded once.
"""

from __future__ import annotations

from typing import Any, Literal

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.tags import CORPUS_TAG

Job = Literal["job", "events", "invalidation"]


def job_name(corpus: Corpus, job: Job) -> str:
    """Name of a job of a corpus."""
    return f"{corpus.name}_{job}"


def corpus_jobs(corpus: Corpus, executor: dg.ExecutorDefinition) -> list[dg.UnresolvedAssetJobDefinition]:
    """All jobs of a corpus."""
    whole = dg.AssetSelection.groups(corpus.name)
    only_events = {"ops": {f"{corpus.name}__documents": {"config": {"only_events": True}}}}
    jobs = [
        _job(
            corpus,
            executor,
            "job",
            whole,
            f"From sources to publication: {corpus.description or corpus.name}",
        ),
    ]
    if corpus.events is not None:
        what = "Reindexes what events name, and looks at nothing else."
        jobs.append(_job(corpus, executor, "events", whole, what, only_events))
    if corpus.invalidation is not None:
        told = dg.AssetSelection.assets([corpus.name, "invalidation"])
        jobs.append(
            _job(
                corpus,
                executor,
                "invalidation",
                told,
                "Tells every target what changed since it was told last.",
            )
        )
    return jobs


def _job(
    corpus: Corpus,
    executor: dg.ExecutorDefinition,
    job: Job,
    selection: dg.AssetSelection,
    description: str,
    config: dict[str, Any] | None = None,
) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        job_name(corpus, job),
        selection=selection,
        description=description,
        config=config,
        tags={CORPUS_TAG: corpus.name},
        executor_def=executor,
    )
