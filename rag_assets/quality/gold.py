"""Profile of the gold set: questions and what was found wrong with them → figures, sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

import polars as pl

from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.gold.check import UNMEETABLE, Finding
from rag_assets.evaluation.gold.words import words
from rag_assets.quality.profile import SAMPLE_ROWS, Profile, quantiles, share
from rag_assets.store.digest import digest

_KINDS = {
    "dead_documents": "dead document",
    "quarantined_documents": "quarantined document",
    "dead_passages": "dead passage",
    "doubtful_answers": "answer not found",
    "near_duplicates": "near duplicate",
}
SAMPLE = pl.Schema(
    {
        "question_id": pl.String(),
        "question": pl.String(),
        "answer": pl.String(),
        "answerable": pl.Boolean(),
        "words": pl.Int32(),
        "documents": pl.Int32(),
        "passages": pl.Int32(),
        "tags": pl.String(),
    }
)


def profile_gold(
    gold: GoldSet, findings: Sequence[Finding], readable: Set[str]
) -> tuple[Profile, pl.DataFrame]:
    """Profile a gold set.

    Args:
        gold: the questions.
        findings: what ``evaluation.gold.check`` found.
        readable: ids of the readable documents.
    """
    rows = pl.DataFrame(
        [
            (
                question.id,
                question.question,
                question.answer,
                question.answerable,
                len(words(question.question)),
                len(question.documents),
                len(question.passages),
                ", ".join(question.tags),
            )
            for question in gold.questions
        ],
        schema=SAMPLE,
        orient="row",
    )
    tags = Counter(tag for question in gold.questions for tag in question.tags)
    wanted = {document for question in gold.questions for document in question.documents}
    answerable = rows.filter("answerable")
    stale = {finding.question_id for finding in findings if finding.kind in UNMEETABLE}
    order = pl.Series([digest(question.id) for question in gold.questions], dtype=pl.String)
    return Profile(
        stage="gold",
        numbers={
            "questions": rows.height,
            "unanswerable_share": share(rows.height - answerable.height, rows.height),
            "unanswered_share": share(answerable["answer"].null_count(), answerable.height),
            "proposals": len(gold.proposals),
            **{
                column: len({finding.question_id for finding in findings if finding.kind == kind})
                for column, kind in _KINDS.items()
            },
            "stale_share": share(len(stale), rows.height),
            "coverage": share(len(wanted & readable), len(readable)),
            "tags": len(tags),
            "smallest_tag": min(tags.values(), default=None),
            **quantiles("words", rows["words"], "p50", "max"),
        },
        histograms={"tag": dict(tags.most_common())},
    ), rows.with_columns(order=order).sort("order").head(SAMPLE_ROWS).drop("order")
