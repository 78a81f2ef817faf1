"""What the stages that run a model have to do, and what they did in this run: neither loads a model.

A scheduler asks before it takes a GPU, and after one was used.
"""

from __future__ import annotations

from rag_assets.evaluation.answers.asking import AskCounts
from rag_assets.evaluation.candidate.versions import AskedStage
from rag_assets.ingest.embedding.stage import EmbeddingCounts
from rag_assets.ingest.work import missing_vectors, require_readable
from rag_assets.pipeline.evaluating import asked_versions
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.pipeline.runs import recorded
from rag_assets.pipeline.unpublished import unpublished_documents


def missing_embeddings(pipeline: Pipeline) -> int:
    """How many distinct texts lack a vector. Reads keys alone.

    Raises:
        QuarantineExceeded: nothing may be embedded.
    """
    context = pipeline.context
    require_readable(context)
    documents = unpublished_documents(context, pipeline.log)
    return missing_vectors(context.chunks, context.embeddings, documents)


def embedded(pipeline: Pipeline) -> EmbeddingCounts | None:
    """What this run has embedded, in whatever process; None when it has not got there."""
    facts = pipeline.runs.stages(pipeline.run_id).get("embeddings")
    return None if facts is None else recorded(EmbeddingCounts, facts)


def missing_asked(pipeline: Pipeline, stage: AskedStage) -> int:
    """How many answers or judgements are lacking. Searches for contexts, and asks nobody.

    Raises:
        ConfigurationError: the corpus file does not ask for answers.
    """
    return asked_versions(pipeline.context, pipeline.standards).missing(stage)


def asked(pipeline: Pipeline, stage: AskedStage) -> AskCounts | None:
    """What this run has answered or judged, in whatever process; None when it has not got there."""
    facts = pipeline.runs.stages(pipeline.run_id).get(stage)
    if facts is None:
        return None
    failures = asked_versions(pipeline.context, pipeline.standards).failures(stage)
    return recorded(AskCounts, {**facts, "seconds": facts.get("model_seconds", 0.0), "failures": failures})
