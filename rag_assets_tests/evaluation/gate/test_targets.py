"""Lost, stale or restored: decided from where the targets are in both versions; and what then counts and compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rag_assets.corpus import Rule
from rag_assets.evaluation.gate.gate import decide
from rag_assets.evaluation.gate.targets import (
    NAMED_TARGETS,
    Holdings,
    LostQuestion,
    LostTarget,
    Presence,
    TargetChanges,
    comparable,
    compare_targets,
    counted,
    removed_in_words,
)
from rag_assets.evaluation.gold import Question
from rag_assets.evaluation.search.summary import compare, metric_names
from rag_assets_tests.evaluation.samples import FULL, Said, answered_evaluation, evaluation_of

HELD, QUARANTINED = "held", "quarantined"
ORDER: tuple[Presence, ...] = ("absent", "quarantined", "held")


def kind_of(now: Mapping[str, Presence], before: Mapping[str, Presence] | None, *documents: str) -> str:
    earlier = None if before is None else Holdings(before)
    found = compare_targets([Question("q", "?", documents)], Holdings(now), earlier, {})
    kinds = {"lost": found.lost, "stale": found.stale, "restored": found.restored}
    return " and ".join(name for name, questions in kinds.items() if questions) or "as before"


@pytest.mark.parametrize("before", ORDER)
@pytest.mark.parametrize("now", ORDER)
def test_a_document_is_lost_when_it_is_worse_off_and_restored_when_it_is_better_off(
    now: Presence, before: Presence
) -> None:
    here, there = ({} if one == "absent" else {"a": one} for one in (now, before))
    step = ORDER.index(now) - ORDER.index(before)
    expected = "lost" if step < 0 else "restored" if step > 0 else "stale" if now == "absent" else "as before"
    assert kind_of(here, there, "a") == expected
    assert kind_of(here, None, "a") == ("stale" if now == "absent" else "as before"), "nothing is published"


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"a": HELD}, {"a": HELD, "b": HELD}, "lost"),
        ({"b": HELD}, {"a": HELD}, "lost"),  # one came and one went: what went decides
        ({"a": HELD}, {"a": HELD}, "stale"),
        ({}, {"a": HELD}, "lost"),  # also where the other one was gone already
        ({"a": HELD, "b": HELD}, {"a": HELD}, "restored"),
        ({"a": HELD, "b": QUARANTINED}, {"a": HELD, "b": HELD}, "lost"),
        ({"a": HELD, "b": HELD}, {"a": HELD, "b": HELD}, "as before"),
    ],
)
def test_of_several_targets_the_worst_decides(
    now: Mapping[str, Presence], before: Mapping[str, Presence], expected: str
) -> None:
    assert kind_of(now, before, "a", "b") == expected


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"x"}, set(), (1, 0)),
        (set(), {"x"}, (0, 1)),
        ({"x"}, {"x"}, (0, 0)),  # a miss as before: a parser may have lost it, and it is not left out
    ],
)
def test_a_passage_that_no_document_holds_any_more_is_lost(
    now: set[str], before: set[str], expected: tuple[int, int]
) -> None:
    found = compare_targets([Question("q", "?", (), ("x",))], Holdings({}, now), Holdings({}, before), {})
    assert (len(found.lost), len(found.restored)) == expected
    assert found.stale == ()


def lost(*names: str, kind: Any = "document", moved_to: str | None = None) -> list[LostQuestion]:
    target = LostTarget(kind=kind, text="a.md", moved_to=moved_to)
    return [LostQuestion(question_id=name, question=f"What of {name}?", targets=(target,)) for name in names]


def test_lost_questions_count_zero_in_every_metric_and_mode_and_stale_ones_not_at_all() -> None:
    figures = evaluation_of({"a": 1, "b": 2, "c": 1})
    stale = compare_targets([Question("c", "?", ("gone",))], Holdings({}), None, {}).stale
    found = counted(figures, None, TargetChanges(tuple(lost("a")), stale))
    assert sorted(set(found["question_id"])) == ["a", "b"]
    zero = found.filter(question_id="a")
    assert zero.height == 3
    assert all(zero[name].to_list() == [0.0] * 3 for name in metric_names(found))
    assert zero["first_rank"].null_count() == 3
    assert zero["targets"].explode().struct.field("rank").null_count() == 3
    assert found.filter(question_id="b").equals(figures.filter(question_id="b"))


def test_a_lost_question_counts_zero_also_where_only_the_published_version_has_a_value() -> None:
    published = answered_evaluation({"a": Said("x", scores=FULL), "b": Said("x", scores=FULL)}).figures
    abstained = answered_evaluation({"a": Said(None), "b": Said("x", scores=FULL)}).figures
    found = counted(abstained, published, TargetChanges(tuple(lost("a"))))
    for row in compare(found, published, 100):
        assert (row.n, row.worse) == (2, 1), row.metric
    rule = Rule.model_validate({"metric": "faithfulness", "max_drop": 0.05})
    assert not decide([rule], found, published).passed
    assert found.filter(question_id="a")["abstention"].null_count() == 3, "it never applied"


def test_what_the_published_version_could_not_meet_is_not_compared_and_hides_no_loss() -> None:
    figures, published = evaluation_of({"a": 1, "b": None}), evaluation_of({"a": None, "b": 1})
    rule = Rule.model_validate({"metric": "recall@5", "max_drop": 0.0})
    assert decide([rule], figures, published).passed, "the gain on one hides the loss of the other"
    verdict = decide([rule], figures, published, restored=["a"])
    assert not verdict.passed and verdict.outcomes[0].n == 1
    assert comparable(figures, published, ["a"])["question_id"].unique().to_list() == ["b"]


def test_a_rule_on_nothing_but_restored_questions_has_nothing_to_compare_with() -> None:
    tags = {"a": ("new",), "b": ("old",)}
    figures, published = evaluation_of({"a": 1, "b": 1}, tags), evaluation_of({"a": None, "b": 1}, tags)
    rules = [Rule.model_validate({"metric": "recall@5", "max_drop": 0.0, "tag": tag}) for tag in tags["a"]]
    assert decide(rules, figures, published, restored=["a"]).passed
    assert decide(rules, figures, published, restored=["a", "b"]).passed


@pytest.mark.parametrize(
    ("questions", "sentence"),
    [
        (lost(*"abcdef"), "gone since publication 1: a.md (6 questions): restore it, or retire them"),
        (lost("a"), "gone since publication 1: a.md (1 question): restore it, or retire the question"),
        (
            lost("a", "b", kind="quarantined document"),
            "quarantined since publication 1: a.md (2 questions): mend it, or retire them",
        ),
        (
            lost("a", moved_to="b.md"),
            "gone since publication 1: a.md (1 question; is it b.md now?): restore it, name the new place in the gold "
            "set, or retire the question",
        ),
        (
            lost("a", kind="passage"),
            "gone since publication 1: “a.md” (1 question), which no document holds any more: restore it, or retire "
            "the question",
        ),
    ],
)
def test_a_sentence_names_the_target_the_questions_and_what_to_do(
    questions: list[LostQuestion], sentence: str
) -> None:
    assert removed_in_words(questions, 1) == (sentence,)


def test_targets_that_most_questions_want_are_named_and_the_rest_is_counted() -> None:
    many = [
        LostQuestion(
            question_id=f"{document}-{number}",
            question="?",
            targets=(LostTarget(kind="document", text=f"{document:02d}.md"),),
        )
        for document in range(NAMED_TARGETS + 2)
        for number in range(document + 1)
    ]
    found = removed_in_words(many, 4)
    assert len(found) == NAMED_TARGETS + 1
    assert found[0].startswith(f"gone since publication 4: {NAMED_TARGETS + 1:02d}.md")
    assert found[-1] == "gone since publication 4: 2 further targets of gold questions"
