"""Is a gold set still true of its corpus? Documents that are gone, quotes and answers that stand nowhere.

Gold set + the documents' texts, streamed once → findings. A question that no longer fits would
count as a failure of search for ever; here it is named, with what is wrong about it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from rag_assets.evaluation.gold.passages import PassageSearch
from rag_assets.evaluation.gold.question import GoldSet
from rag_assets.evaluation.gold.words import words

Kind = Literal["dead document", "quarantined document", "dead passage", "answer not found", "near duplicate"]
STALE: frozenset[Kind] = frozenset(("dead document",))
"""What makes a question stale: it is not counted."""
UNMEETABLE: frozenset[Kind] = STALE | {"dead passage"}
"""What no search can meet, as against worth a look. A dead passage counts as a miss: a parser may have lost it."""

ANSWER_COVERAGE = 0.5
"""Share of a reference answer's words that its documents must hold; it may be worded otherwise."""
NEAR_DUPLICATE = 0.9
# A number by itself: those in names, such as L6 or float32, are words.
_NUMBER = re.compile(r"(?<![\w.,-])\d+(?:[.,\u202f ]\d{3})*(?:[.,]\d+)?(?![\w])")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one question."""

    question_id: str
    kind: Kind
    detail: str


def check_gold(
    gold: GoldSet, readable: Set[str], quarantined: Mapping[str, str], texts: Iterable[tuple[str, str]]
) -> list[Finding]:
    """Hold a gold set against its corpus.

    Args:
        gold: the questions.
        readable: ids of the documents that were parsed.
        quarantined: reason by id of those that were not.
        texts: (id, parsed text) of every readable document; read once, one at a time.

    Returns:
        Findings in the order of the questions.
    """
    found: dict[str, list[Finding]] = {question.id: [] for question in gold.questions}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for identity in readable:
        names[PurePosixPath(identity).name].append(identity)
    for question in gold.questions:
        for document in question.documents:
            if document in quarantined:
                detail = f"{document} is quarantined: {quarantined[document]}"
                found[question.id].append(Finding(question.id, "quarantined document", detail))
            elif document not in readable:
                moved = sorted(names.get(PurePosixPath(document).name, ()))
                hint = f"; is it {moved[0]} now?" if moved else ""
                found[question.id].append(
                    Finding(question.id, "dead document", f"{document} is not in the corpus{hint}")
                )
    evidence = _Evidence(gold)
    for identity, text in texts:
        evidence.look_at(identity, text)
    for finding in (*evidence.findings(found), *_near_duplicates(gold)):
        found[finding.question_id].append(finding)
    return [finding for findings in found.values() for finding in findings]


class _Evidence:
    """What the documents seen so far hold of passages and answers."""

    def __init__(self, gold: GoldSet) -> None:
        self._questions = {question.id: question for question in gold.questions}
        self._passages = [
            (question.id, passage) for question in gold.questions for passage in question.passages
        ]
        self._search = PassageSearch(passage for _, passage in self._passages)
        self._answers = {
            question.id: frozenset(word for word in words(question.answer) if not word.isdigit())
            for question in gold.questions
            if question.answer is not None and question.documents
        }
        self._asking: defaultdict[str, list[str]] = defaultdict(list)
        for identity in self._answers:
            for document in self._questions[identity].documents:
                self._asking[document].append(identity)
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._numbers: defaultdict[str, set[str]] = defaultdict(set)
        self._read: defaultdict[str, int] = defaultdict(int)

    def look_at(self, identity: str, text: str) -> None:
        sequence = words(text)
        for question in self._asking.get(identity, ()):
            self._held[question] |= self._answers[question].intersection(sequence)
            self._numbers[question] |= _numbers(text)
            self._read[question] += 1
        self._search.look_at(sequence)

    def findings(self, known: Mapping[str, list[Finding]]) -> Iterable[Finding]:
        for identity, passage in self._passages:
            if passage in self._search.missing:
                yield Finding(identity, "dead passage", f"no document holds “{_shortened(passage)}”")
        for identity, wanted in self._answers.items():
            answer = self._questions[identity].answer or ""
            if known[identity] or self._read[identity] == 0 or wanted <= {"yes", "no"}:
                continue
            lacking = sorted(_numbers(answer) - self._numbers[identity])
            share = len(self._held[identity]) / len(wanted) if wanted else 1.0
            if lacking:
                detail = f"its documents do not hold the number {lacking[0]} of “{_shortened(answer)}”"
                yield Finding(identity, "answer not found", detail)
            elif share < ANSWER_COVERAGE:
                detail = f"its documents hold {share:.0%} of the words of “{_shortened(answer)}”"
                yield Finding(identity, "answer not found", detail)


def _numbers(text: str) -> set[str]:
    """The numbers of a text, without the marks that people put between their digits."""
    return {re.sub(r"\D", "", number) for number in _NUMBER.findall(text)}


def _near_duplicates(gold: GoldSet) -> Iterable[Finding]:
    """Questions of nearly the same words; candidates share their rarest word, so that not all pairs are compared."""
    sets = {question.id: frozenset(words(question.question)) for question in gold.questions}
    counts: defaultdict[str, int] = defaultdict(int)
    for found in sets.values():
        for word in found:
            counts[word] += 1
    buckets: defaultdict[str, list[str]] = defaultdict(list)
    for identity, found in sets.items():
        rare = sorted(found, key=lambda word: (counts[word], word))
        # Two sets of which 90 % agree share one of their rarest 10 % + 1 words (prefix filtering, Chaudhuri 2006).
        for word in rare[: len(rare) - int(len(rare) * NEAR_DUPLICATE) + 1]:
            buckets[word].append(identity)
    reported: set[tuple[str, str]] = set()
    for group in buckets.values():
        for place, second in enumerate(group):
            for first in group[:place]:
                union = len(sets[first] | sets[second])
                if (first, second) not in reported and len(
                    sets[first] & sets[second]
                ) >= NEAR_DUPLICATE * union:
                    reported.add((first, second))
                    yield Finding(second, "near duplicate", f"nearly the words of question {first}")


def _shortened(text: str, length: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
