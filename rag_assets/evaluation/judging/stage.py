"""Stage: judge the cases that the store holds no judgement of yet.

The same case is never judged twice by the same judge. One that failed counts as not judged.

Run alone: ``judge_missing(judgement_store(objects, judge), judge, cases)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rag_assets.evaluation.answers.asking import COST, AskCounts, ask_missing
from rag_assets.evaluation.judging.judge import Case, Judge, Judgement
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore

SCORE = pl.Struct(
    {
        "metric": pl.String(),
        "value": pl.Float64(),
        "reason": pl.String(),
        "evidence": pl.List(pl.Struct({"statement": pl.String(), "holds": pl.Boolean()})),
    }
)
SCHEMA = pl.Schema({"key": pl.String(), "scores": pl.List(SCORE), **COST})


def judgement_store(objects: ObjectStore, judge: Judge) -> ContentStore:
    """Judgements under the judge's fingerprint, keyed by the case."""
    return ContentStore(objects, "judgements", judge.fingerprint, SCHEMA, judge.about)


def judge_missing(store: ContentStore, judge: Judge, cases: Sequence[Case]) -> AskCounts:
    """Judge what is missing; keys may repeat among the cases."""
    return ask_missing(store, {case.key: case for case in cases}, judge.judge, _row)


def _row(judgement: Judgement) -> Mapping[str, Any]:
    return {
        "scores": [
            {
                "metric": metric,
                "value": score.value,
                "reason": score.reason,
                "evidence": [{"statement": text, "holds": holds} for text, holds in score.evidence],
            }
            for metric, score in judgement.scores.items()
        ]
    }
