"""Fail a build when an answer is worse than its threshold: one test per gold question, with DeepEval's assert_test.

Copy this file into your repository's tests. Before it, ``rag-assets evaluate CORPUS`` must have built and judged
the candidate; here its report is read, nothing is generated again.

    RAG_CORPUS=handbook python -m pytest test_answers.py
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from deepeval import assert_test
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase

from rag_assets.corpus import load_corpus
from rag_assets.evaluation.files import QUESTIONS_FILE
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore

THRESHOLDS = {"faithfulness": 0.4, "answer_correctness": 0.2}
"""The least that one question must reach; the gate of the corpus file holds the means."""


class Judged(BaseMetric):
    """A score that the corpus's judge has given."""

    def __init__(self, score: Mapping[str, Any], threshold: float) -> None:
        self.name, self.threshold = str(score["metric"]), threshold
        self.value, self.reason = float(score["value"]), str(score["reason"])
        self.async_mode = False

    def measure(self, test_case: LLMTestCase, *args: object, **kwargs: object) -> float:
        self.score, self.success = self.value, self.value >= self.threshold
        return self.value

    async def a_measure(self, test_case: LLMTestCase, *args: object, **kwargs: object) -> float:
        return self.measure(test_case)

    def is_successful(self) -> bool:
        return bool(self.success)

    @property
    def __name__(self) -> str:
        return self.name


def answers() -> list[dict[str, Any]]:
    """The answers of the latest candidate to all gold questions, as rows of the report's Parquet file."""
    settings = Settings()
    corpus = load_corpus(settings.corpora / f"{os.environ.get('RAG_CORPUS', 'handbook')}.yaml")
    objects = ObjectStore.open(settings.store)
    _, report = Pipeline(objects, corpus, run_id="ci").evaluate()
    rows = pl.read_parquet(io.BytesIO(objects.get(f"{report}/{QUESTIONS_FILE}")))
    return rows.filter(pl.col("mode") == "hybrid", pl.col("answerable").is_not_null()).to_dicts()


@pytest.mark.parametrize("row", answers(), ids=lambda row: row["question_id"])
def test_answer(row: Mapping[str, Any]) -> None:
    failure = row["unanswered"] or row["unjudged"]
    assert failure is None, failure
    if not row["answerable"]:
        assert row["abstained"], f"no document answers this, yet it was answered: {row['answer']}"
        return
    assert not row["abstained"], "it abstained although the corpus holds the answer"
    case = LLMTestCase(
        input=row["question"],
        actual_output=row["answer"],
        expected_output=row["reference"],
        retrieval_context=[context["text"] for context in row["contexts"]],
    )
    judged = [score for score in row["scores"] if score["metric"] in THRESHOLDS]
    assert_test(case, [Judged(score, THRESHOLDS[score["metric"]]) for score in judged], run_async=False)
