"""Answer the gold questions from a version's retrieval, and have the answers judged.

version → contexts of every question (kept, in parts) → answers → judgements. All three go through the
questions in batches, so that memory follows the batch and a crash costs one batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from rag_assets import corpus
from rag_assets.evaluation.answers.asking import AskCounts
from rag_assets.evaluation.answers.generator import Context, Generator, Task
from rag_assets.evaluation.answers.stage import answer_missing, answer_store
from rag_assets.evaluation.gate.standards import Standards
from rag_assets.evaluation.gold import Question
from rag_assets.evaluation.judging.answered import CONTEXT, Asked, answered_rows
from rag_assets.evaluation.judging.judge import Case, Judge
from rag_assets.evaluation.judging.stage import judge_missing, judgement_store
from rag_assets.evaluation.search.search import Hit, SearchOf
from rag_assets.progress import Progress
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest, fingerprint
from rag_assets.store.files import parquet_bytes, read_parquet, read_record
from rag_assets.store.objects import ObjectLost

BATCH = 256  # questions at a time: what memory holds, and what a crash costs
SCHEMA = {"question_key": pl.String(), "contexts": pl.List(CONTEXT)}
_FAILURES = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Version:
    """A version whose retrieval is asked: its candidate's tag and its Lance version."""

    tag: str
    version: int


class AnsweredVersion:
    """The gold questions, answered from one version.

    Args:
        standards: of the corpus; its file must have ``evaluation.answers``.
        version: whose retrieval gives the contexts.
        search: opens the search of a version.
    """

    def __init__(self, standards: Standards, version: Version, search: SearchOf) -> None:
        settings, gold = standards.corpus.evaluation.answers, standards.gold
        assert settings is not None and gold is not None, "the corpus file was checked for both"
        self._objects = standards.objects
        self._settings: corpus.Answers = settings
        self._gold = gold
        self._version = version
        self._search = search
        key = fingerprint({"gold": gold.digest, "contexts": settings.contexts})
        self._root = f"corpora/{standards.corpus.name}/contexts/{version.tag}-{key[:12]}"

    def unanswered(self, generator: Generator) -> int:
        """How many answers no store holds. Searches for the contexts; generates nothing."""
        store = answer_store(self._objects, generator)
        return sum(_missing(store, [one.task.key for one in asked]) for asked in self._batches())

    def unjudged(self, generator: Generator, judge: Judge) -> int:
        """How many judgements of answers no store holds."""
        store = judgement_store(self._objects, judge)
        return sum(
            _missing(store, [case.key for case in cases]) for _, cases in self._answered_batches(generator)
        )

    def failures(self, stage: str) -> dict[str, str]:
        """Why answers or judgements of this version are lacking, by key."""
        try:
            return read_record(self._objects, f"{self._root}/{stage}.json", _FAILURES)
        except ObjectLost:  # reasons alone; what failed is known without them
            return {}

    def answer(self, generator: Generator, progress: Progress) -> AskCounts:
        """Answer what no store holds an answer to yet."""
        store, total = answer_store(self._objects, generator), AskCounts()
        done = 0
        for asked in self._batches():
            total.add(answer_missing(store, generator, [one.task for one in asked]))
            done += len(asked)
            progress("answers", done, len(self._gold.questions))
        self._keep_failures("answers", total.failures)
        return total

    def judge(self, generator: Generator, judge: Judge, progress: Progress) -> AskCounts:
        """Judge what was answered and no store holds a judgement of yet."""
        store, total = judgement_store(self._objects, judge), AskCounts()
        done = 0
        for asked, cases in self._answered_batches(generator):
            total.add(judge_missing(store, judge, cases))
            done += len(asked)
            progress("judgements", done, len(self._gold.questions))
        self._keep_failures("judgements", total.failures)
        return total

    def rows(self, generator: Generator, judge: Judge) -> Iterator[pl.DataFrame]:
        """Yield answers and judgements (``evaluation.judging.answered``), batch by batch."""
        answers = answer_store(self._objects, generator)
        judgements = judgement_store(self._objects, judge)
        unanswered, unjudged = self.failures("answers"), self.failures("judgements")
        for asked in self._batches():
            found = _rows(answers, [one.task.key for one in asked])
            cases = [one.case(found[one.task.key]).key for one in asked if one.task.key in found]
            yield answered_rows(asked, found, _rows(judgements, cases), unanswered, unjudged)

    def _batches(self) -> Iterator[list[Asked]]:
        for questions in self._gold.batches(BATCH):
            contexts = self._contexts(questions)
            yield [Asked(one, Task(one.question, contexts[one.key])) for one in questions]

    def _answered_batches(self, generator: Generator) -> Iterator[tuple[list[Asked], list[Case]]]:
        """The questions, and what can be judged of them: those that were answered."""
        answers = answer_store(self._objects, generator)
        for asked in self._batches():
            found = _rows(answers, [one.task.key for one in asked])
            yield asked, [one.case(found[one.task.key]) for one in asked if one.task.key in found]

    def _contexts(self, questions: tuple[Question, ...]) -> dict[str, tuple[Context, ...]]:
        """What search finds for a batch of questions; asked once per version."""
        # By what is asked and not by place: the same questions in another order are other batches.
        path = f"{self._root}/{digest(*(one.key for one in questions))}.parquet"
        try:
            frame = read_parquet(self._objects, path, SCHEMA)
        except ObjectLost:
            search = self._search(self._version.version)
            hits = search([one.question for one in questions], "hybrid", self._settings.contexts)
            rows = [
                {"question_key": one.key, "contexts": [_context(hit) for hit in found]}
                for one, found in zip(questions, hits, strict=True)
            ]
            frame = pl.DataFrame(rows, schema=SCHEMA)
            self._objects.put(path, parquet_bytes(frame))
        return {key: tuple(Context(**one) for one in found) for key, found in frame.iter_rows()}

    def _keep_failures(self, stage: str, failures: Mapping[str, str]) -> None:
        self._objects.put(f"{self._root}/{stage}.json", json.dumps(dict(failures)).encode())


def _context(hit: Hit) -> dict[str, str]:
    return {
        "chunk_id": hit.chunk_id,
        "document_id": hit.document_id,
        "heading": " › ".join(hit.heading_path),
        "text": hit.text,
    }


def _missing(store: ContentStore, keys: list[str]) -> int:
    return store.missing(pl.Series("key", keys, dtype=pl.String)).len()


def _rows(store: ContentStore, keys: list[str]) -> dict[str, dict[str, Any]]:
    found = store.collect(pl.Series("key", keys, dtype=pl.String))
    return {row["key"]: row for row in found.iter_rows(named=True)}
