"""One job per corpus: all of its assets in one process, so that a model is loaded once."""

from __future__ import annotations

import dagster as dg

from rag_assets.corpus import Corpus


def corpus_job(corpus: Corpus) -> dg.UnresolvedAssetJobDefinition:
    """The job that brings a corpus from its sources to its publication."""
    return dg.define_asset_job(
        f"{corpus.name}_job",
        selection=dg.AssetSelection.groups(corpus.name),
        description=f"From sources to publication: {corpus.description or corpus.name}",
        executor_def=dg.in_process_executor,
    )
