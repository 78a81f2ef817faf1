"""From configuration to a judge. Nothing is loaded until a case is judged."""

from __future__ import annotations

from rag_assets import corpus
from rag_assets.evaluation.judging.deepeval_judge import DeepEvalJudge
from rag_assets.evaluation.judging.judge import Judge
from rag_assets.evaluation.judging.local import LocalJudge
from rag_assets.store.objects import ObjectStore


def open_judge(config: corpus.Answers, objects: ObjectStore) -> Judge:
    """The judge that the corpus file asks for."""
    if isinstance(config.judge, corpus.LocalJudge):
        return LocalJudge(objects)
    return DeepEvalJudge(config.judge, config.case_seconds)
