"""What a change did to the targets of gold questions: removed them, brought them back, or neither.

presence of every target in the candidate and in the published version → ``TargetChanges`` → what is counted and
what is compared. A pure function. A question falls under the first that applies:

- *lost*: a target is worse off than in the published version (removed, quarantined, or a passage that no document
  holds any more), or was lost when that was published, and is not back. The question counts 0 in every metric until
  a person restores the target or retires the question.
- *stale*: a document is in neither version. The question is not counted.
- *restored*: a target is better off than in the published version. The question counts, but is not compared: the
  published version could not meet it, and what is no more than undone is no gain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from rag_assets.evaluation.diagnosis.loss import short
from rag_assets.evaluation.gate.value import Value
from rag_assets.evaluation.gold import Question
from rag_assets.evaluation.search.summary import metric_names

Presence = Literal["absent", "quarantined", "held"]
_ORDER: Mapping[Presence, int] = {"absent": 0, "quarantined": 1, "held": 2}
NAMED_TARGETS = 10
"""Removed targets that are named one by one, at most."""


class LostTarget(Value):
    """A target that a change removed."""

    kind: Literal["document", "quarantined document", "passage"]
    text: str
    moved_to: str | None = None
    """A document of the candidate that holds the same text, or that is new and has the same file name."""
    since: int | None = None
    """The last publication that held it."""


class LostQuestion(Value):
    """A gold question that counts 0, because the change removed what it wants."""

    question_id: str
    question: str
    targets: tuple[LostTarget, ...]


class StaleQuestion(Value):
    """A gold question that was not counted: the candidate lacks documents that it wants, and so did what is published."""

    question_id: str
    question: str
    documents: tuple[str, ...]


@dataclass(frozen=True)
class Holdings:
    """Which targets one version holds.

    Attributes:
        documents: presence by document id; a document that is not named is absent.
        missing_passages: passages that no document holds; all others count as held.
        publication: number of the version's publication, if it has one.
    """

    documents: Mapping[str, Presence]
    missing_passages: Collection[str] = frozenset()
    publication: int | None = None

    def document(self, identity: str) -> Presence:
        """Whether a document is there."""
        return self.documents.get(identity, "absent")

    def passage(self, text: str) -> Presence:
        """Whether some document holds a passage."""
        return "absent" if text in self.missing_passages else "held"

    def at_most(self, other: Holdings) -> Holdings:
        """The same without what another version lacks."""
        kept = {
            name: min(found, other.document(name), key=_ORDER.__getitem__)
            for name, found in self.documents.items()
        }
        return replace(
            self, documents=kept, missing_passages={*self.missing_passages, *other.missing_passages}
        )


NOTHING_LOST: Mapping[tuple[str, str], LostTarget] = {}


@dataclass(frozen=True)
class TargetChanges:
    """Questions whose targets are not all where they were.

    Attributes:
        restored: ids of questions that are not compared.
    """

    lost: tuple[LostQuestion, ...] = ()
    stale: tuple[StaleQuestion, ...] = ()
    restored: tuple[str, ...] = ()


def still_lost(lost: Iterable[LostQuestion], publication: int | None) -> dict[tuple[str, str], LostTarget]:
    """What was lost when a version was published, by the question's id and the target.

    Args:
        lost: of the report with which it was published.
        publication: with which that report compares.
    """
    return {
        (one.question_id, target.text): target.model_copy(update={"since": target.since or publication})
        for one in lost
        for target in one.targets
    }


def compare_targets(
    questions: Iterable[Question],
    now: Holdings,
    before: Holdings | None,
    moved: Mapping[str, str],
    known: Mapping[tuple[str, str], LostTarget] = NOTHING_LOST,
) -> TargetChanges:
    """Sort out the questions whose targets changed.

    Args:
        questions: the gold set.
        now: what the candidate holds.
        before: what the published version holds; None when there is none: then nothing is lost or restored.
        moved: where removed documents seem to be now, by their ids.
        known: what was lost when the published version was published (``still_lost``).
    """
    lost, stale, restored = [], [], []
    earlier = now if before is None else before
    for question in questions:
        removed = []
        for name in question.documents:
            old = known.get((question.id, name))
            if _worse(now.document(name), earlier.document(name), old):
                removed.append(
                    LostTarget(
                        kind="document" if now.document(name) == "absent" else "quarantined document",
                        text=name,
                        moved_to=moved.get(name) or (old.moved_to if old else None),
                        since=old.since if old else earlier.publication,
                    )
                )
        for text in question.passages:
            old = known.get((question.id, text))
            if _worse(now.passage(text), earlier.passage(text), old):
                since = old.since if old else earlier.publication
                removed.append(LostTarget(kind="passage", text=text, since=since))
        gone = tuple(name for name in question.documents if now.document(name) == "absent")
        if removed:
            lost.append(
                LostQuestion(question_id=question.id, question=question.question, targets=tuple(removed))
            )
        elif gone:
            stale.append(StaleQuestion(question_id=question.id, question=question.question, documents=gone))
        elif any(
            _ORDER[now.document(name)] > _ORDER[earlier.document(name)] for name in question.documents
        ) or any(_ORDER[now.passage(text)] > _ORDER[earlier.passage(text)] for text in question.passages):
            restored.append(question.id)
    return TargetChanges(tuple(lost), tuple(stale), tuple(restored))


def _worse(now: Presence, before: Presence, known: LostTarget | None) -> bool:
    """Whether a target is worse off than before, or is not back from where it was lost earlier."""
    return _ORDER[now] < _ORDER[before if known is None else "held"]


def counted(figures: pl.DataFrame, published: pl.DataFrame | None, changes: TargetChanges) -> pl.DataFrame:
    """The evaluation as it counts: without stale questions, and with 0 for lost ones, as if nothing were found.

    Args:
        figures: the candidate's evaluation.
        published: the published version's. A lost question counts 0 also where only that has a value, such as in
            a metric of answers that does not apply to a question which was not answered.
        changes: of the targets.
    """
    kept = figures.filter(~pl.col("question_id").is_in([one.question_id for one in changes.stale]))
    ids = [one.question_id for one in changes.lost]
    if not ids:
        return kept
    names = metric_names(kept)
    shared = [] if published is None else [name for name in metric_names(published) if name in names]
    keys = ["question_key", "mode"]
    before = kept.select(keys).clear() if published is None else published.select(*keys, *shared)
    joined = kept.join(before, on=keys, how="left", suffix="_published", maintain_order="left")
    lost = pl.col("question_id").is_in(ids)
    nothing = pl.element().struct.with_fields(rank=pl.lit(None, pl.Int64))
    return joined.with_columns(
        *(
            pl.when(lost & pl.any_horizontal(pl.col(_both(name, shared)).is_not_null()))
            .then(0.0)
            .otherwise(name)
            .alias(name)
            for name in names
        ),
        targets=pl.when(lost).then(pl.col("targets").list.eval(nothing)).otherwise("targets"),
        first_rank=pl.when(~lost).then("first_rank"),
    ).select(kept.columns)


def comparable(figures: pl.DataFrame, published: pl.DataFrame, restored: Collection[str]) -> pl.DataFrame:
    """The published version's evaluation without questions that it could not meet.

    Args:
        figures: the candidate's evaluation, which knows the questions' keys by their ids.
        published: the published version's.
        restored: ids of these questions.
    """
    keys = figures.filter(pl.col("question_id").is_in(list(restored)))["question_key"].unique()
    return published.filter(~pl.col("question_key").is_in(keys.implode()))


def removed_in_words(lost: Sequence[LostQuestion], publication: int | None) -> tuple[str, ...]:
    """What was removed and how many questions that costs, with what to do, one sentence for each target."""
    asked: defaultdict[LostTarget, int] = defaultdict(int)
    for question in lost:
        for target in question.targets:
            asked[target] += 1
    order = sorted(asked, key=lambda target: (-asked[target], target.text))
    found = [_removed(target, asked[target], publication) for target in order[:NAMED_TARGETS]]
    if len(order) > NAMED_TARGETS:
        found.append(
            f"gone since publication {publication}: {len(order) - NAMED_TARGETS} further targets of gold questions"
        )
    return tuple(found)


def _removed(target: LostTarget, count: int, publication: int | None) -> str:
    publication = target.since or publication
    questions = "1 question" if count == 1 else f"{count} questions"
    retire = "retire the question" if count == 1 else "retire them"
    if target.kind == "passage":
        return (
            f"gone since publication {publication}: “{short(target.text)}” ({questions}), which no document holds any "
            f"more: restore it, or {retire}"
        )
    if target.kind == "quarantined document":
        return (
            f"quarantined since publication {publication}: {target.text} ({questions}): mend it, or {retire}"
        )
    if target.moved_to is None:
        return f"gone since publication {publication}: {target.text} ({questions}): restore it, or {retire}"
    return (
        f"gone since publication {publication}: {target.text} ({questions}; is it {target.moved_to} now?): restore it, "
        f"name the new place in the gold set, or {retire}"
    )


def _both(name: str, shared: Sequence[str]) -> list[str]:
    return [name, f"{name}_published"] if name in shared else [name]
