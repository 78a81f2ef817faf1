"""Answered questions in a report: answer, contexts and judgement, beside those of the published version.

evaluation of the candidate (+ of the published version) → the questions that are worth a look, in detail.
Bounded: so many questions, texts of so many characters, and a text that both versions have is there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from pydantic import Field

from rag_assets.evaluation.diagnosis.diagnosis import Diagnosis
from rag_assets.evaluation.gate.value import Value
from rag_assets.evaluation.judging.answered import MODE
from rag_assets.evaluation.search.measured import Measured

SHOWN_ANSWERS = 100
SHOWN_CHARACTERS = 2000
"""Characters of a context; more than a chunk of the usual embedders has."""
SHOWN_STATEMENT = 300
"""Characters of a judged statement: judges of contexts repeat whole contexts as statements."""


class Passage(Value):
    """A context of an answer."""

    chunk_id: str
    document_id: str
    heading: str
    text: str | None = Field(description="None where the published version has the text of the candidate's.")
    cited: bool
    same_as: int | None = Field(
        default=None,
        description="Place, from 1, of the same text among the other version's contexts; None: only here.",
    )


class Statement(Value):
    """A statement and the judge's verdict on it."""

    statement: str
    holds: bool


class JudgedScore(Value):
    """One metric of one answer."""

    metric: str
    value: float
    reason: str
    evidence: tuple[Statement, ...]


class VersionAnswer(Value):
    """What one version answered to a question, from what, and what the judge said."""

    answer: str | None = Field(description="None where there is none: it abstained, or failed.")
    abstained: bool
    failure: str | None = Field(description="Why it was not answered or not judged.")
    contexts: tuple[Passage, ...]
    scores: tuple[JudgedScore, ...]

    def score(self, metric: str) -> float | None:
        """A metric of this answer, or None where it was not judged by it."""
        return next((score.value for score in self.scores if score.metric == metric), None)


class AnswerDetail(VersionAnswer):
    """A question and what the candidate answered, with what the published version did."""

    question_id: str
    question: str
    tags: tuple[str, ...]
    answerable: bool
    reference: str | None
    published: VersionAnswer | None = Field(default=None, description="None where it was not asked this.")

    @property
    def unchanged(self) -> bool:
        """Whether the published version answered the same from the same contexts."""
        before = self.published
        return (
            before is not None
            and (self.answer, self.abstained, self.failure)
            == (before.answer, before.abstained, before.failure)
            and self.scores == before.scores
            and len(self.contexts) == len(before.contexts)
            and all(context.same_as == place for place, context in enumerate(self.contexts, 1))
        )


def answer_details(
    measured: Measured, before: Measured | None, diagnoses: Sequence[Diagnosis]
) -> tuple[AnswerDetail, ...]:
    """Answered questions in detail: those that went wrong first, then those that were answered otherwise before."""
    if before is not None and "answer" not in before.figures.columns:
        before = None
    wrong = [one.question_id for one in diagnoses]
    rows = measured.figures.filter((pl.col("mode") == MODE) & pl.col("answerable").is_not_null())
    order = [~pl.col("question_id").is_in(wrong) & pl.coalesce("unanswered", "unjudged").is_null()]
    if before is not None:
        said = before.figures.filter(pl.col("mode") == MODE).select("question_key", said="answer")
        rows = rows.join(said, on="question_key", how="left", maintain_order="left")
        order.append(pl.col("answer").eq_missing(pl.col("said")))
    rows = rows.sort(order, maintain_order=True).head(SHOWN_ANSWERS)
    texts = measured.texts(rows["question_id"])
    earlier = {} if before is None else _by_key(before, rows["question_key"])
    return tuple(
        _detail(row | texts[row["question_id"]], earlier.get(row["question_key"]))
        for row in rows.iter_rows(named=True)
    )


def _by_key(before: Measured, keys: pl.Series) -> dict[str, dict[str, Any]]:
    """Rows of some questions with their texts. Versions share a question's key, its id may change."""
    rows = before.figures.filter((pl.col("mode") == MODE) & pl.col("question_key").is_in(keys.implode()))
    texts = before.texts(rows["question_id"])
    return {row["question_key"]: row | texts[row["question_id"]] for row in rows.iter_rows(named=True)}


def _detail(row: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> AnswerDetail:
    theirs = () if earlier is None else _texts(earlier)
    return AnswerDetail(
        question_id=row["question_id"],
        question=row["question"],
        tags=tuple(row["tags"]),
        answerable=row["answerable"],
        reference=row["reference"],
        **_answer(row, _passages(row, theirs)),
        published=None
        if earlier is None
        else VersionAnswer(**_answer(earlier, _passages(earlier, _texts(row), repeat=False))),
    )


def _answer(row: Mapping[str, Any], contexts: tuple[Passage, ...]) -> dict[str, Any]:
    return {
        "answer": row["answer"] or None,
        "abstained": bool(row["abstained"]),
        "failure": row["unanswered"] or row["unjudged"],
        "contexts": contexts,
        "scores": tuple(_score(score) for score in row["scores"] or ()),
    }


def _score(score: Mapping[str, Any]) -> JudgedScore:
    return JudgedScore(
        metric=score["metric"],
        value=score["value"],
        reason=score["reason"],
        evidence=tuple(
            Statement(statement=_cut(one["statement"], SHOWN_STATEMENT), holds=one["holds"])
            for one in score["evidence"]
        ),
    )


def _passages(row: Mapping[str, Any], theirs: tuple[str, ...], *, repeat: bool = True) -> tuple[Passage, ...]:
    """The contexts; ``theirs`` are the texts of the other version, which are left out unless ``repeat``."""
    found = []
    for place, context in enumerate(row["contexts"] or (), 1):
        same_as = _place(context["text"], place, theirs)
        found.append(
            Passage(
                chunk_id=context["chunk_id"],
                document_id=context["document_id"],
                heading=context["heading"],
                text=_cut(context["text"], SHOWN_CHARACTERS) if repeat or same_as is None else None,
                cited=context["chunk_id"] in (row["citations"] or ()),
                same_as=same_as,
            )
        )
    return tuple(found)


def _place(text: str, own: int, theirs: tuple[str, ...]) -> int | None:
    """Where the other version has a text; its own place if it stands there too, for texts may repeat."""
    if theirs[own - 1 : own] == (text,):
        return own
    return theirs.index(text) + 1 if text in theirs else None


def _texts(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(context["text"] for context in row["contexts"] or ())


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"
