"""The assets between index and evaluation: answers to the gold questions, and judgements of them.

Annotations here are read by Dagster when an asset is defined, so they must not be postponed.
"""

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.evaluation.answers.asking import AskCounts
from rag_assets.orchestration import metadata
from rag_assets.orchestration.declare import data_version
from rag_assets.orchestration.model_stage import ModelStage, model_asset
from rag_assets.pipeline.model_stages import asked, missing_asked
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.store.digest import fingerprint


def answer_assets(corpus: Corpus, index: dg.AssetsDefinition) -> list[dg.AssetsDefinition]:
    """Both assets, or none where the corpus file does not ask for answers."""
    settings = corpus.evaluation.answers
    if settings is None:
        return []
    answers = model_asset(
        corpus,
        ModelStage(
            "answers",
            missing=lambda pipeline: missing_asked(pipeline, "answers"),
            work=lambda pipeline: pipeline.answers(),
            done=lambda pipeline: asked(pipeline, "answers"),
            report=_asked,
        ),
        after=index,
        kinds={"python", "parquet", "openai" if settings.generator.type == "openai" else "polars"},
        code_version=fingerprint(
            settings.model_dump(mode="json", include={"generator", "instructions", "contexts"})
        )[:12],
        pool="generation",
        description="The gold questions, answered from what the candidate's search finds. The same question over the "
        "same contexts is never generated twice.",
    )
    judgements = model_asset(
        corpus,
        ModelStage(
            "judgements",
            missing=lambda pipeline: missing_asked(pipeline, "judgements"),
            work=lambda pipeline: pipeline.judgements(),
            done=lambda pipeline: asked(pipeline, "judgements"),
            report=_asked,
        ),
        after=answers,
        kinds={"python", "parquet", "openai" if settings.judge.type == "openai" else "polars"},
        code_version=fingerprint(settings.judge.model_dump(mode="json"))[:12],
        pool="judging",
        description="How far answers and contexts can be trusted. A question that the judge failed on counts as not "
        "judged, never as passed.",
    )
    return [answers, judgements]


def _asked(pipeline: Pipeline, counts: AskCounts) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata=metadata.asked(counts),
        data_version=data_version(pipeline.latest_candidate().tag, *sorted(counts.failures)),
    )
