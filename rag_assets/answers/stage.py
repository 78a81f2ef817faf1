"""Stage: answer the tasks that the store holds no answer to yet.

tasks → missing keys → batches → generator → one shard per batch. The same question over the same
contexts is never generated twice, whichever candidate asks. Failures are not stored: the next run
tries them again, and only them.

Run alone: ``answer_missing(answer_store(objects, generator), generator, tasks)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from rag_assets.answers.generator import Answer, Failure, Generator, Task
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore

SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "answer": pl.String(),
        "citations": pl.List(pl.Int64()),  # places of the contexts
        "abstained": pl.Boolean(),
        "prompt_tokens": pl.Int64(),
        "completion_tokens": pl.Int64(),
        "seconds": pl.Float64(),
    }
)
BATCH = 256  # tasks per shard: what a crash can cost at most


@dataclass(slots=True)
class AnswerCounts:
    """What one run of the stage did. ``failures``: reason by task key."""

    generated: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


def answer_store(objects: ObjectStore, generator: Generator) -> ContentStore:
    """Answers under the generator's fingerprint, keyed by question and contexts."""
    return ContentStore(objects, "answers", generator.fingerprint, SCHEMA, generator.about)


def answer_missing(
    store: ContentStore,
    generator: Generator,
    tasks: Sequence[Task],
    advance: Callable[[int], None] = lambda done: None,
) -> AnswerCounts:
    """Answer what is missing.

    Args:
        store: where answers are kept.
        generator: answers.
        tasks: what is to be answered; keys may repeat.
        advance: told how many tasks have been dealt with, reused ones included.
    """
    by_key = {task.key: task for task in tasks}
    missing = store.missing(pl.Series("key", list(by_key), dtype=pl.String)).to_list()
    counts = AnswerCounts(reused=len(by_key) - len(missing))
    advance(counts.reused)
    for start in range(0, len(missing), BATCH):
        keys = missing[start : start + BATCH]
        rows = []
        for key, result in zip(keys, generator.answer([by_key[key] for key in keys]), strict=True):
            if isinstance(result, Failure):
                counts.failures[key] = result.reason
                continue
            rows.append(_row(key, result))
            counts.generated += 1
            counts.prompt_tokens += result.prompt_tokens
            counts.completion_tokens += result.completion_tokens
            counts.seconds += result.seconds
        if rows:
            store.commit(pl.DataFrame(rows, schema=SCHEMA))
        advance(len(keys))
    store.maintain()
    return counts


def _row(key: str, answer: Answer) -> dict[str, object]:
    return {
        "key": key,
        "answer": answer.text,
        "citations": list(answer.citations),
        "abstained": answer.abstained,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "seconds": answer.seconds,
    }
