"""Fail a build when an answer is worse than its threshold: one test per gold question, with DeepEval's assert_test.

Copy this file into your repository's tests. Before it, ``rag-assets evaluate CORPUS`` must have built and judged
the candidate; here its report is read, nothing is generated again.

    RAG_CORPUS=handbook python -m pytest test_answers.py
"""

from __future__ import annotations

import os

import pytest
from deepeval import assert_test
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase

from rag_assets.corpus import load_corpus
from rag_assets.evaluation.answer_details import AnswerDetail, JudgedScore
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore

THRESHOLDS = {"faithfulness": 0.4, "answer_correctness": 0.2}
"""The least that one question must reach; the gate of the corpus file holds the means."""


class Judged(BaseMetric):
    """A score that the corpus's judge has given."""

    def __init__(self, score: JudgedScore, threshold: float) -> None:
        self.name, self.threshold = score.metric, threshold
        self.score, self.reason = score.value, score.reason
        self.async_mode = False

    def measure(self, test_case: LLMTestCase, *args: object, **kwargs: object) -> float:
        self.success = self.score >= self.threshold
        return self.score

    async def a_measure(self, test_case: LLMTestCase, *args: object, **kwargs: object) -> float:
        return self.measure(test_case)

    def is_successful(self) -> bool:
        return bool(self.success)

    @property
    def __name__(self) -> str:
        return self.name


def answers() -> tuple[AnswerDetail, ...]:
    """The judged answers of the latest candidate."""
    settings = Settings()
    corpus = load_corpus(settings.corpora / f"{os.environ.get('RAG_CORPUS', 'handbook')}.yaml")
    report, _ = Pipeline(ObjectStore.open(settings.store), corpus, run_id="ci").evaluate()
    return report.answers


@pytest.mark.parametrize("answer", answers(), ids=lambda answer: answer.question_id)
def test_answer(answer: AnswerDetail) -> None:
    assert answer.failure is None, answer.failure
    if not answer.answerable:
        assert answer.abstained, f"no document answers this, yet it was answered: {answer.answer}"
        return
    assert not answer.abstained, "it abstained although the corpus holds the answer"
    case = LLMTestCase(
        input=answer.question,
        actual_output=answer.answer,
        expected_output=answer.reference,
        retrieval_context=[context.text for context in answer.contexts],
    )
    assert_test(
        case,
        [Judged(score, THRESHOLDS[score.metric]) for score in answer.scores if score.metric in THRESHOLDS],
        run_async=False,
    )
