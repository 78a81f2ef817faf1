"""What was answered and how it was judged, as columns beside the measurements of search.

questions, answers, judgements → one row per question. ``with_answers`` puts them onto the rows of hybrid
search, on which answers rest; so tags, comparison, intervals and gate treat all metrics alike. A metric is
null where it does not apply, and where the question was not answered or not judged: then a reason says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rag_assets.corpus import ANSWER_METRICS
from rag_assets.evaluation.answers.generator import Task
from rag_assets.evaluation.gold import Question
from rag_assets.evaluation.judging.judge import Case
from rag_assets.evaluation.judging.stage import SCORE

MODE = "hybrid"
CONTEXT = pl.Struct(
    {"chunk_id": pl.String(), "document_id": pl.String(), "heading": pl.String(), "text": pl.String()}
)
COLUMNS: dict[str, pl.DataType] = {
    "answerable": pl.Boolean(),
    "answer": pl.String(),
    "reference": pl.String(),
    "abstained": pl.Boolean(),
    "citations": pl.List(pl.String()),
    "contexts": pl.List(CONTEXT),
    "unanswered": pl.String(),  # why there is no answer
    "unjudged": pl.String(),  # why there is no judgement
    "scores": pl.List(SCORE),
    "answer_tokens": pl.List(pl.Int64()),  # prompt, completion
    "answer_seconds": pl.Float64(),
    "judge_tokens": pl.List(pl.Int64()),
    "judge_seconds": pl.Float64(),
}
"""What ``with_answers`` adds before the metrics; each of ``ANSWER_METRICS`` is one more Float64 column."""


@dataclass(frozen=True)
class Asked:
    """A gold question and what it is answered from."""

    question: Question
    task: Task

    def case(self, answer: Mapping[str, Any]) -> Case:
        """What a judge sees: the answer is a row of the answer store."""
        return Case(
            self.task.question,
            tuple(context.text for context in self.task.contexts),
            None if answer["abstained"] else answer["answer"],
            self.question.answer,
        )


def answered_rows(
    asked: Sequence[Asked],
    answers: Mapping[str, Mapping[str, Any]],
    judgements: Mapping[str, Mapping[str, Any]],
    unanswered: Mapping[str, str],
    unjudged: Mapping[str, str],
) -> pl.DataFrame:
    """One row per question.

    Args:
        asked: the questions.
        answers: rows of the answer store by task key.
        judgements: rows of the judgement store by case key.
        unanswered: why a task has no answer, by task key.
        unjudged: why a case has no judgement, by case key.
    """
    schema: dict[str, pl.DataType] = {
        "question_id": pl.String(),
        "question_key": pl.String(),
        "question": pl.String(),
        "tags": pl.List(pl.String()),
        "mode": pl.String(),
        **COLUMNS,
    }
    for metric in ANSWER_METRICS:
        schema[metric] = pl.Float64()
    rows = [_row(one, answers, judgements, unanswered, unjudged) for one in asked]
    return pl.DataFrame(rows, schema=schema)


def with_answers(questions: pl.DataFrame, answered: pl.DataFrame) -> pl.DataFrame:
    """The evaluation of search with the columns of the answers; unanswerable questions are new rows."""
    keys = ["question_id", "mode"]
    shared = ["question_key", "question", "tags"]
    joined = questions.join(answered.drop(shared), on=keys, how="left", maintain_order="left")
    return pl.concat([joined, answered.join(questions, on=keys, how="anti")], how="diagonal")


def is_complete(questions: pl.DataFrame) -> bool:
    """Whether every question was answered and judged; an evaluation without answers is complete."""
    if "unanswered" not in questions.columns:
        return True
    return questions.filter(pl.col("unanswered").is_not_null() | pl.col("unjudged").is_not_null()).is_empty()


def _row(
    one: Asked,
    answers: Mapping[str, Mapping[str, Any]],
    judgements: Mapping[str, Mapping[str, Any]],
    unanswered: Mapping[str, str],
    unjudged: Mapping[str, str],
) -> dict[str, Any]:
    question, key = one.question, one.task.key
    row: dict[str, Any] = {
        "question_id": question.id,
        "question_key": question.key,
        "question": question.question,
        "tags": list(question.tags),
        "mode": MODE,
        "answerable": question.answerable,
        "reference": question.answer,
        "contexts": [
            {
                "chunk_id": context.chunk_id,
                "document_id": context.document_id,
                "heading": context.heading,
                "text": context.text,
            }
            for context in one.task.contexts
        ],
    }
    answer = answers.get(key)
    if answer is None:
        return row | {"unanswered": unanswered.get(key, "not answered yet; materialize the answers")}
    row |= {name: answer[name] for name in ("answer", "abstained")}
    row["citations"] = [one.task.contexts[place].chunk_id for place in answer["citations"]]
    row |= _took("answer", answer)
    if question.answerable:
        row["answered"] = 0.0 if answer["abstained"] else 1.0
    else:
        row["abstention"] = 1.0 if answer["abstained"] else 0.0
    case = one.case(answer).key
    judgement = judgements.get(case)
    if judgement is None:
        return row | {"unjudged": unjudged.get(case, "not judged yet; materialize the judgements")}
    row["scores"] = judgement["scores"]
    row |= _took("judge", judgement)
    row |= {score["metric"]: score["value"] for score in judgement["scores"]}
    if question.answer is not None and answer["abstained"]:
        row["answer_correctness"] = 0.0  # to say nothing is not to say what was asked for
    return row


def _took(who: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{who}_tokens": [row["prompt_tokens"], row["completion_tokens"]],
        f"{who}_seconds": row["seconds"],
    }
