"""The evaluation report: what was measured on one candidate, and what follows from it.

Evaluation of the candidate (+ of the published version) + rules → ``Report``, which is all that
the JSON file, the HTML page and the publication's record say. It is a value: same input, same report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import polars as pl
from pydantic import AwareDatetime, Field, JsonValue

from rag_assets.corpus import Corpus, Mode
from rag_assets.evaluation.diagnosis.diagnosis import Diagnosis
from rag_assets.evaluation.gate.gate import Verdict, decide
from rag_assets.evaluation.gate.standards import max_unjudged_share
from rag_assets.evaluation.gate.targets import LostQuestion, StaleQuestion, removed_in_words
from rag_assets.evaluation.gate.value import Value
from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.report.answer_details import AnswerDetail, answer_details
from rag_assets.evaluation.report.cost import Cost
from rag_assets.evaluation.report.details import (
    HEADLINE_MODE,
    QuestionChange,
    QuestionDetail,
    changed_questions,
    worst_questions,
)
from rag_assets.evaluation.search.measured import Measured
from rag_assets.evaluation.search.slices import SliceRow
from rag_assets.evaluation.search.summary import ComparisonRow, MetricRow, compare, pair, summarize

SMALL_GOLD_SET = 50
GateState = Literal["passed", "refused", "not measured"]
"""What the gate says: ``not measured`` is a version that was not refused, and that no rule was applied to."""


class Subject(Value):
    """The version that was measured."""

    lance_version: int
    candidate: str = Field(
        default="", description="The candidate's own tag: names exactly what was measured."
    )
    snapshot: int
    documents: int
    chunks: int
    embedder: str = Field(description="Model, revision and dimension for a human reader.")


class Judged(Value):
    """Who answered and who judged, and how far the judge can be trusted."""

    generator: str
    extractive: bool = Field(
        default=False, description="Whether answers are quoted, without a language model."
    )
    judge: str
    reliability: dict[str, JsonValue] = Field(
        description="By metric and human-labelled set: auroc, agreement, cases. Empty: never measured."
    )
    answered: int
    unanswered: int
    unjudged: int
    incomparable: str | None = Field(
        default=None,
        description="Why answers cannot be compared with the published version's, if they cannot.",
    )


class Report(Value):
    """Everything about one evaluation."""

    corpus: str
    subject: Subject
    publication: int | None = Field(
        default=None, description="Number of the publication that was measured; None for a candidate."
    )
    compared_with: int | None = Field(description="Number of the publication; None when there was none.")
    created: Annotated[AwareDatetime, Field(description="UTC.")]
    gold_digest: str | None
    questions: int
    metrics: tuple[MetricRow, ...]
    comparison: tuple[ComparisonRow, ...]
    changes: tuple[QuestionChange, ...] = Field(
        description="Headline mode, largest change first, at most 200."
    )
    worst: tuple[QuestionDetail, ...] = Field(
        description="Headline mode, worst first; none that are perfect."
    )
    verdict: Verdict
    index: dict[str, JsonValue] = Field(description="Facts about the index: rows, index types, recall, …")
    warnings: tuple[str, ...]
    judged: Judged | None = Field(default=None, description="None where no answers are asked for.")
    answers: tuple[AnswerDetail, ...] = Field(default=(), description="Failing ones first, at most 100.")
    costs: tuple[Cost, ...] = Field(default=(), description="What the steps took.")
    currency: str = ""
    diagnoses: tuple[Diagnosis, ...] = Field(default=(), description="Questions that went wrong, and why.")
    slices: tuple[SliceRow, ...] = Field(default=(), description="Tags, sources, document types and tenants.")
    stale: tuple[StaleQuestion, ...] = Field(default=(), description="Questions that were not counted.")
    lost: tuple[LostQuestion, ...] = Field(
        default=(), description="Questions that count 0: what they want was removed since compared_with."
    )
    restored: tuple[str, ...] = Field(
        default=(), description="Ids of questions that were not compared: compared_with lacks what they want."
    )

    def metric(self, metric: str, mode: Mode = HEADLINE_MODE, tag: str | None = None) -> MetricRow | None:
        """One measured mean, or None when it was not measured."""
        wanted = (metric, mode, tag)
        return next((row for row in self.metrics if (row.metric, row.mode, row.tag) == wanted), None)

    def difference(self, metric: str, mode: Mode = HEADLINE_MODE) -> ComparisonRow | None:
        """One metric against the published version, or None when they cannot be compared."""
        return next((row for row in self.comparison if (row.metric, row.mode) == (metric, mode)), None)

    @property
    def gate(self) -> GateState:
        """What the gate says of this version."""
        if not self.verdict.passed:
            return "refused"
        return "passed" if self.verdict.outcomes else "not measured"

    @property
    def removed(self) -> tuple[str, ...]:
        """What was removed since the compared publication and is wanted by questions, in sentences."""
        return removed_in_words(self.lost, self.compared_with)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The search modes that were measured."""
        return tuple(dict.fromkeys(row.mode for row in self.metrics))

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the gold questions, in alphabetical order."""
        return tuple(dict.fromkeys(row.tag for row in self.metrics if row.tag is not None))


def build_report(
    corpus: Corpus,
    subject: Subject,
    gold: GoldSet | None,
    measured: Measured,
    *,
    index: Mapping[str, JsonValue],
    published: tuple[int, Measured] | None = None,
    problems: Sequence[str] = (),
    judged: Judged | None = None,
    costs: Sequence[Cost] = (),
    diagnoses: Sequence[Diagnosis] = (),
    slices: Sequence[SliceRow] = (),
    stale: Sequence[StaleQuestion] = (),
    lost: Sequence[LostQuestion] = (),
    restored: Sequence[str] = (),
    warnings: Sequence[str] = (),
    created: datetime | None = None,
) -> Report:
    """Put a report together and decide.

    Args:
        corpus: names the rules, the bootstrap samples and how many worst questions to show.
        subject: the measured version.
        gold: the questions that were asked, None when the corpus has none.
        measured: the evaluation (of ``no_questions`` without a gold set).
        index: facts about the index to show.
        published: number and evaluation of the publication to compare with.
        problems: what structural checks found wrong; any of them fails the candidate.
        judged: who answered and judged, None where no answers are asked for.
        costs: what the steps took.
        diagnoses: which stage is at fault, question by question.
        slices: the measured slices of the gold set (``slice_rows``).
        stale: questions that were left out of ``measured``.
        lost: questions that count 0 in ``measured``.
        restored: ids of questions that were left out of ``published``.
        warnings: sentences to show beside the report's own.
        created: time of the evaluation, default now.
    """
    questions = measured.figures
    earlier = None if published is None else published[1]
    before = None if earlier is None else earlier.figures
    samples = corpus.evaluation.bootstrap_samples
    return Report(
        corpus=corpus.name,
        subject=subject,
        compared_with=None if published is None else published[0],
        created=datetime.now(UTC) if created is None else created.astimezone(UTC),
        gold_digest=None if gold is None else gold.digest,
        questions=0 if gold is None else len(gold.questions),
        metrics=summarize(questions, samples),
        comparison=() if before is None else compare(questions, before, samples),
        changes=() if before is None else changed_questions(questions, before),
        worst=worst_questions(measured, before, corpus.evaluation.worst_questions),
        verdict=decide(corpus.gate.rules, questions, before, problems, max_unjudged_share(corpus), restored),
        index=dict(index),
        warnings=(
            *_own_warnings(gold, questions, before, stale, len(restored)),
            *warnings,
        ),
        judged=judged,
        answers=() if judged is None else answer_details(measured, earlier, diagnoses),
        costs=tuple(costs),
        currency=corpus.evaluation.prices.currency,
        diagnoses=tuple(diagnoses),
        slices=tuple(slices),
        stale=tuple(stale),
        lost=tuple(lost),
        restored=tuple(restored),
    )


def _own_warnings(
    gold: GoldSet | None,
    questions: pl.DataFrame,
    before: pl.DataFrame | None,
    stale: Sequence[StaleQuestion],
    restored: int,
) -> list[str]:
    if gold is None:
        return ["No gold set: search quality was not measured. Set evaluation.gold in the corpus file."]
    found = []
    if stale:
        shown = ", ".join(dict.fromkeys(one.documents[0] for one in stale[:5]))
        are = "1 gold question is" if len(stale) == 1 else f"{len(stale)} gold questions are"
        found.append(
            f"{are} stale and not counted: they want documents that are gone, such as {shown}. "
            "Correct or retire them."
        )
    count = questions["question_id"].n_unique()
    if count < SMALL_GOLD_SET:
        asked = "1 gold question was" if count == 1 else f"Only {count} gold questions were"
        found.append(
            f"{asked} asked. Below {SMALL_GOLD_SET} the confidence intervals are wide and too optimistic: "
            "read differences with care."
        )
    if before is not None and not before.is_empty():
        shared = pair(questions, before, []).filter(pl.col("mode") == HEADLINE_MODE).height
        if shared < count:
            found.append(
                f"The published version answered {shared} of these {count} questions: only they are compared."
                + (f" It lacks what {restored} of the others want." if restored else "")
            )
    return found
