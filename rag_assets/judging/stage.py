"""Stage: judge the cases that the store holds no judgement of yet.

cases → missing keys → batches → judge → one shard per batch. The same case is never judged twice by
the same judge. Failures are not stored: the case counts as not judged, and the next run tries again.

Run alone: ``judge_missing(judgement_store(objects, judge), judge, cases)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from rag_assets.answers.generator import Failure
from rag_assets.judging.judge import Case, Judge, Judgement
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
SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "scores": pl.List(SCORE),
        "prompt_tokens": pl.Int64(),
        "completion_tokens": pl.Int64(),
        "seconds": pl.Float64(),
    }
)
BATCH = 256  # cases per shard: what a crash can cost at most


@dataclass(slots=True)
class JudgementCounts:
    """What one run of the stage did. ``failures``: reason by case key."""

    judged: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


def judgement_store(objects: ObjectStore, judge: Judge) -> ContentStore:
    """Judgements under the judge's fingerprint, keyed by the case."""
    return ContentStore(objects, "judgements", judge.fingerprint, SCHEMA, judge.about)


def judge_missing(
    store: ContentStore,
    judge: Judge,
    cases: Sequence[Case],
    advance: Callable[[int], None] = lambda done: None,
) -> JudgementCounts:
    """Judge what is missing.

    Args:
        store: where judgements are kept.
        judge: judges.
        cases: what is to be judged; keys may repeat.
        advance: told how many cases have been dealt with, reused ones included.
    """
    by_key = {case.key: case for case in cases}
    missing = store.missing(pl.Series("key", list(by_key), dtype=pl.String)).to_list()
    counts = JudgementCounts(reused=len(by_key) - len(missing))
    advance(counts.reused)
    for start in range(0, len(missing), BATCH):
        keys = missing[start : start + BATCH]
        rows = []
        for key, result in zip(keys, judge.judge([by_key[key] for key in keys]), strict=True):
            if isinstance(result, Failure):
                counts.failures[key] = result.reason
                continue
            rows.append(_row(key, result))
            counts.judged += 1
            counts.prompt_tokens += result.prompt_tokens
            counts.completion_tokens += result.completion_tokens
            counts.seconds += result.seconds
        if rows:
            store.commit(pl.DataFrame(rows, schema=SCHEMA))
        advance(len(keys))
    store.maintain()
    return counts


def _row(key: str, judgement: Judgement) -> dict[str, object]:
    return {
        "key": key,
        "scores": [
            {
                "metric": metric,
                "value": score.value,
                "reason": score.reason,
                "evidence": [{"statement": text, "holds": holds} for text, holds in score.evidence],
            }
            for metric, score in judgement.scores.items()
        ],
        "prompt_tokens": judgement.prompt_tokens,
        "completion_tokens": judgement.completion_tokens,
        "seconds": judgement.seconds,
    }
