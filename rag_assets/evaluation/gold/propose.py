"""Propose gold questions on documents that no question covers yet.

documents → proposer → questions with an answer and the quote that proves it. A proposal is a draft:
it is not asked until a person accepts it in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sentencex import segment

from rag_assets.evaluation.gold.file import slug
from rag_assets.evaluation.gold.question import Question
from rag_assets.evaluation.gold.words import words

TAG = "proposed"
LEAST_WORDS = 8  # of a quote: shorter sentences rarely hold a fact
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_PLAIN = re.compile(r"^[A-Za-z0-9“\"']")  # neither list, table, code nor link


@dataclass(frozen=True)
class Draft:
    """A document to ask about."""

    document_id: str
    title: str
    text: str


@dataclass(frozen=True)
class Proposals:
    """What was proposed.

    Attributes:
        uncovered: documents that no question covered before.
        failures: (document id, reason) of documents for which none was found.
    """

    questions: tuple[Question, ...]
    failures: tuple[tuple[str, str], ...]
    uncovered: int


class Proposer(Protocol):
    """Documents → questions."""

    def propose(self, drafts: Sequence[Draft]) -> list[Question | str]:
        """One question per document, or the reason why there is none, in their order."""
        ...


class HeadingProposer:
    """Proposes without a language model: a section's heading as the question, its first statement as the answer."""

    def propose(self, drafts: Sequence[Draft]) -> list[Question | str]:
        """See ``Proposer``."""
        return [self._propose(draft) for draft in drafts]

    def _propose(self, draft: Draft) -> Question | str:
        best: tuple[int, str, str] | None = None
        for heading, body in _sections(draft.text):
            statement = _first_statement(body)
            if statement and (best is None or len(words(body)) > best[0]):
                best = (len(words(body)), heading, statement)
        if best is None:
            return f"no section holds a statement of {LEAST_WORDS} words or more"
        _, heading, statement = best
        return question_of(draft, _asked(draft.title, heading), statement, statement)


def question_of(draft: Draft, question: str, answer: str, quote: str) -> Question:
    """A proposed question on a document."""
    return Question(
        id=slug(question),
        question=question,
        documents=(draft.document_id,),
        passages=(quote,),
        answer=answer,
        tags=(TAG,),
    )


def _asked(title: str, heading: str) -> str:
    if heading.endswith("?"):
        return heading
    about = heading if not title or heading == title else f"{heading} ({title})"
    return f"What do the documents say about: {about}?"


def _sections(text: str) -> list[tuple[str, str]]:
    """(heading, text below it) of every section; fenced code is left out."""
    sections: list[tuple[str, list[str]]] = []
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and (match := _HEADING.match(line)):
            sections.append((match[1], []))
        elif not fenced and sections:
            sections[-1][1].append(line)
    return [(heading, "\n".join(lines)) for heading, lines in sections]


def _first_statement(body: str) -> str | None:
    for block in body.split("\n\n"):
        flat = " ".join(block.split())
        if _PLAIN.match(flat):
            for sentence in segment("en", flat):
                if len(words(sentence)) >= LEAST_WORDS:
                    return str(sentence).strip()
    return None
