"""The evaluation report: what was measured on one candidate, and what follows from it.

Evaluation of the candidate (+ of the published version) + rules → ``Report``, which is all that
the JSON file, the HTML page and the publication's record say. It is a value: same input, same report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from rag_assets.corpus import Corpus, Mode
from rag_assets.evaluation.gate import Verdict, decide
from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.summary import ComparisonRow, MetricRow, compare, metric_names, pair, summarize

HEADLINE_MODE: Mode = "hybrid"
"""Readers search hybrid unless they ask otherwise: the headline figures are those of this mode."""
DECIDING_METRIC = "ndcg@10"
"""Ranks questions from worst to best and counts them as improved or worse: it sees every rank up to ten."""
SMALL_GOLD_SET = 50
SHOWN_CHANGES = 200


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(_Model):
    """The version that was measured."""

    lance_version: int
    candidate: str = Field(
        default="", description="The candidate's own tag: names exactly what was measured."
    )
    snapshot: int
    documents: int
    chunks: int
    embedder: str = Field(description="Model, revision and dimension for a human reader.")


class Wanted(_Model):
    """A target and the rank at which it was found; None when it was not."""

    kind: str
    text: str
    rank: int | None


class FoundHit(_Model):
    """One of the best hits of a question."""

    document_id: str
    chunk_id: str
    heading: str
    score: float
    text: str
    relevant: bool


class QuestionDetail(_Model):
    """A question that went badly: what was wanted and what was found instead."""

    question_id: str
    question: str
    tags: tuple[str, ...]
    mode: Mode
    value: float = Field(description="DECIDING_METRIC of this question.")
    published: float | None = Field(description="The same in the published version, if it was asked there.")
    first_rank: int | None
    targets: tuple[Wanted, ...]
    hits: tuple[FoundHit, ...]


class QuestionChange(_Model):
    """A question whose DECIDING_METRIC differs from the published version's."""

    question_id: str
    question: str
    published: float
    candidate: float


class Report(_Model):
    """Everything about one evaluation."""

    corpus: str
    subject: Subject
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

    def metric(self, metric: str, mode: Mode = HEADLINE_MODE, tag: str | None = None) -> MetricRow | None:
        """One measured mean, or None when it was not measured."""
        wanted = (metric, mode, tag)
        return next((row for row in self.metrics if (row.metric, row.mode, row.tag) == wanted), None)

    def difference(self, metric: str, mode: Mode = HEADLINE_MODE) -> ComparisonRow | None:
        """One metric against the published version, or None when they cannot be compared."""
        return next((row for row in self.comparison if (row.metric, row.mode) == (metric, mode)), None)

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
    questions: pl.DataFrame,
    *,
    index: Mapping[str, JsonValue],
    published: tuple[int, pl.DataFrame] | None = None,
    problems: Sequence[str] = (),
    warnings: Sequence[str] = (),
    created: datetime | None = None,
) -> Report:
    """Put a report together and decide.

    Args:
        corpus: names the rules, the bootstrap samples and how many worst questions to show.
        subject: the measured version.
        gold: the questions that were asked, None when the corpus has none.
        questions: the evaluation (``evaluate``, or ``no_questions`` without a gold set).
        index: facts about the index to show.
        published: number and evaluation of the publication to compare with.
        problems: what structural checks found wrong; any of them fails the candidate.
        warnings: sentences to show beside the report's own.
        created: time of the evaluation, default now.
    """
    before = None if published is None else published[1]
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
        changes=() if before is None else _changes(questions, before),
        worst=_worst(questions, before, corpus.evaluation.worst_questions),
        verdict=decide(corpus.gate.rules, questions, before, problems),
        index=dict(index),
        warnings=(*_own_warnings(gold, questions, before), *warnings),
    )


def _own_warnings(gold: GoldSet | None, questions: pl.DataFrame, before: pl.DataFrame | None) -> list[str]:
    if gold is None:
        return ["No gold set: search quality was not measured. Set evaluation.gold in the corpus file."]
    found = []
    count = len(gold.questions)
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
            )
    return found


def _changes(questions: pl.DataFrame, before: pl.DataFrame) -> tuple[QuestionChange, ...]:
    if DECIDING_METRIC not in metric_names(before):
        return ()
    both = pair(questions, before, [DECIDING_METRIC]).filter(pl.col("mode") == HEADLINE_MODE)
    rows = (
        both.select(
            "question_id",
            "question",
            published=pl.col(f"{DECIDING_METRIC}_published"),
            candidate=pl.col(DECIDING_METRIC),
        )
        .with_columns(size=(pl.col("candidate") - pl.col("published")).abs().round(9))
        .filter(pl.col("size") > 0)
        .sort(["size", "question_id"], descending=[True, False])
        .head(SHOWN_CHANGES)
        .drop("size")
    )
    return tuple(QuestionChange(**row) for row in rows.iter_rows(named=True))


def _worst(questions: pl.DataFrame, before: pl.DataFrame | None, count: int) -> tuple[QuestionDetail, ...]:
    rows = questions.filter((pl.col("mode") == HEADLINE_MODE) & (pl.col(DECIDING_METRIC) < 1))
    if before is not None and DECIDING_METRIC in metric_names(before):
        earlier = before.select("question_key", "mode", pl.col(DECIDING_METRIC).alias("published"))
        rows = rows.join(earlier, on=["question_key", "mode"], how="left")
    else:
        rows = rows.with_columns(published=pl.lit(None, pl.Float64))
    rows = rows.sort(
        [DECIDING_METRIC, "first_rank", "question_id"], descending=[False, True, False], nulls_last=False
    ).head(count)
    return tuple(
        QuestionDetail(
            question_id=row["question_id"],
            question=row["question"],
            tags=tuple(row["tags"]),
            mode=row["mode"],
            value=row[DECIDING_METRIC],
            published=row["published"],
            first_rank=row["first_rank"],
            targets=tuple(Wanted(**target) for target in row["targets"]),
            hits=tuple(FoundHit(**hit) for hit in row["hits"]),
        )
        for row in rows.iter_rows(named=True)
    )
