"""A gold set that is no longer true of its corpus is named, question by question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets.evaluation.gold import GoldSet, Question
from rag_assets.evaluation.gold.check import check_gold

TEXTS = {
    "rent.md": "The tenant pays 450 euros of rent on the third working day of each month.",
    "lift.md": "The landlord repairs the lift.",
}


def findings(*questions: Question, quarantined: dict[str, str] | None = None) -> list[tuple[str, str]]:
    found = check_gold(GoldSet(questions), set(TEXTS), quarantined or {}, iter(TEXTS.items()))
    return [(finding.question_id, finding.kind) for finding in found]


def test_a_true_gold_set_has_no_findings() -> None:
    assert (
        findings(
            Question("a", "How much?", ("rent.md",), ("pays 450 euros of rent",), "450 euros"),
            Question("b", "Who repairs it?", (), ("the lift",)),
            Question("c", "Who sings?", answerable=False),
        )
        == []
    )


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (Question("q", "?", ("gone.md",)), "dead document"),
        (Question("q", "?", ("scan.pdf",)), "quarantined document"),
        (Question("q", "?", (), ("the tenant pays nothing at all, ever",)), "dead passage"),
        (Question("q", "?", (), ("a lift",)), "dead passage"),
        (Question("q", "?", ("rent.md",), (), "500 euros of rent"), "answer not found"),
        (Question("q", "?", ("lift.md",), (), "an electrician from the city"), "answer not found"),
    ],
)
def test_what_no_longer_fits_is_named_by_kind(question: Question, kind: str) -> None:
    assert findings(question, quarantined={"scan.pdf": "scanned"}) == [("q", kind)]


def test_a_number_counts_however_its_digits_are_grouped_and_a_name_is_no_number() -> None:
    text = "The model all-MiniLM-L6-v2 takes 50000000 bytes and 3.5 seconds with float32."
    for answer, kinds in {
        "50,000,000 bytes": [],
        "50 000 000 bytes": [],
        "all-MiniLM-L6-v2 with float32": [],
        "60,000,000 bytes": ["answer not found"],
    }.items():
        gold = GoldSet((Question("q", "?", ("a.md",), answer=answer),))
        assert [one.kind for one in check_gold(gold, {"a.md"}, {}, [("a.md", text)])] == kinds, answer


def test_a_document_that_moved_is_suggested() -> None:
    gold = GoldSet((Question("q", "?", ("old/rent.md",)),))
    (finding,) = check_gold(gold, {"new/rent.md"}, {}, [])
    assert "is it new/rent.md now?" in finding.detail


WORDS = ["who", "pays", "the", "rent", "of", "a", "house", "in", "winter", "now", "then", "here"]


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), min_size=2, max_size=8))
def test_near_duplicates_are_exactly_the_pairs_that_share_nine_tenths_of_their_words(
    asked: list[list[str]],
) -> None:
    questions = [Question(str(number), " ".join(words), ("rent.md",)) for number, words in enumerate(asked)]
    wanted = {
        str(second)
        for second in range(len(asked))
        for first in range(second)
        if len({*asked[first]} & {*asked[second]}) >= 0.9 * len({*asked[first]} | {*asked[second]})
    }
    assert {identity for identity, _ in findings(*questions)} == wanted
