"""The assets between index and evaluation: answers to the gold questions, and judgements of them.

Annotations here are read by Dagster when an asset is defined, so they must not be postponed.
"""

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration import metadata
from rag_assets.orchestration.declare import corpus_asset, data_version
from rag_assets.orchestration.failures import reported
from rag_assets.orchestration.resources import ProgressFor, StoreResource
from rag_assets.store.digest import fingerprint

GPU_TAGS = {"rag_assets/gpu": "true"}
"""Marks steps that run a generating or judging model, for executors that place steps."""


def answer_assets(corpus: Corpus, index: dg.AssetsDefinition) -> list[dg.AssetsDefinition]:
    """Both assets, or none where the corpus file does not ask for answers."""
    settings = corpus.evaluation.answers
    if settings is None:
        return []

    @corpus_asset(
        corpus,
        kinds={"python", "parquet", "openai" if settings.generator.type == "openai" else "polars"},
        code_version=fingerprint(
            settings.model_dump(mode="json", include={"generator", "instructions", "contexts"})
        )[:12],
        deps=[index],
        pool="generation",
        op_tags=GPU_TAGS,
        description="The gold questions, answered from what the candidate's search finds. The same question over the "
        "same contexts is never generated twice.",
    )
    def answers(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            counts = pipeline.answers()
            return dg.MaterializeResult(
                metadata=metadata.asked(counts),
                data_version=data_version(pipeline.latest_candidate().tag, *sorted(counts.failures)),
            )

    @corpus_asset(
        corpus,
        kinds={"python", "parquet", "openai" if settings.judge.type == "openai" else "polars"},
        code_version=fingerprint(settings.judge.model_dump(mode="json"))[:12],
        deps=[answers],
        pool="judging",
        op_tags=GPU_TAGS,
        description="How far answers and contexts can be trusted. A question that the judge failed on counts as not "
        "judged, never as passed.",
    )
    def judgements(
        context: dg.AssetExecutionContext, store: StoreResource, progress: dg.ResourceParam[ProgressFor]
    ) -> dg.MaterializeResult:
        with reported():
            pipeline = store.pipeline(context, corpus, progress)
            counts = pipeline.judgements()
            return dg.MaterializeResult(
                metadata=metadata.asked(counts),
                data_version=data_version(pipeline.latest_candidate().tag, *sorted(counts.failures)),
            )

    return [answers, judgements]
