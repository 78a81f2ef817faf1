"""Stage: answer the tasks that the store holds no answer to yet.

The same question over the same contexts is never generated twice, whichever candidate asks.

Run alone: ``answer_missing(answer_store(objects, generator), generator, tasks)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rag_assets.evaluation.answers.asking import COST, AskCounts, ask_missing
from rag_assets.evaluation.answers.generator import Answer, Generator, Task
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore

SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "answer": pl.String(),
        "citations": pl.List(pl.Int64()),  # places of the contexts
        "abstained": pl.Boolean(),
        **COST,
    }
)


def answer_store(objects: ObjectStore, generator: Generator) -> ContentStore:
    """Answers under the generator's fingerprint, keyed by question and contexts."""
    return ContentStore(objects, "answers", generator.fingerprint, SCHEMA, generator.about)


def answer_missing(store: ContentStore, generator: Generator, tasks: Sequence[Task]) -> AskCounts:
    """Answer what is missing; keys may repeat among the tasks."""
    return ask_missing(store, {task.key: task for task in tasks}, generator.answer, _row)


def _row(answer: Answer) -> Mapping[str, Any]:
    return {"answer": answer.text, "citations": list(answer.citations), "abstained": answer.abstained}
