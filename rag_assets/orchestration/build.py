"""From corpora to Dagster definitions."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.assets import corpus_assets
from rag_assets.orchestration.jobs import corpus_job
from rag_assets.orchestration.resources import StoreResource, log_progress


def build_definitions(corpora: Mapping[str, Corpus]) -> dg.Definitions:
    """Assets, checks, jobs and resources of all corpora."""
    return dg.Definitions(
        assets=[asset for corpus in corpora.values() for asset in corpus_assets(corpus)],
        jobs=[corpus_job(corpus) for corpus in corpora.values()],
        resources={"store": StoreResource(), "progress": log_progress},
        executor=dg.in_process_executor,
    )
