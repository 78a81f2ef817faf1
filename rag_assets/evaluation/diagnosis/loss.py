"""Where a text was lost between source and chunk.

wanted text + what became of the documents → first stage that lost it, or None. What counts is one chunk: the
pieces of a statement that was cut apart lie in the index, yet no reader gets the statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.evaluation.gold.words import PASSAGE_COVERAGE, RUN, covered, runs, spaced, words

ANSWER_SHARE = 0.5
"""Share of a reference answer's words from which a statement of a document can be what it was made from."""
SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class DocumentTrace:
    """What became of a document that a question wants.

    Attributes:
        quarantined: the reason, if it was not parsed.
        source: its raw text, None when it cannot be read as text.
        parsed: its parsed text.
        chunks: the texts of its chunks in the index.
    """

    quarantined: str | None
    source: str | None
    parsed: str | None
    chunks: Sequence[str]


def lost_quote(
    wanted: str, traces: Mapping[str, DocumentTrace]
) -> tuple[Literal["parsing", "chunking"], str] | None:
    """Where a quote was lost; None when it was not, or nobody can tell."""
    in_parsed = next(
        (name for name, one in traces.items() if one.parsed and _holds(one.parsed, wanted)), None
    )
    if in_parsed is None:
        in_source = next(
            (name for name, one in traces.items() if one.source and _holds(one.source, wanted)), None
        )
        if in_source is None:
            return None
        return "parsing", f"{in_source} holds “{short(wanted)}”, its parsed text does not"
    # A quote of several statements may lie in several chunks; a statement may not.
    trace = traces[in_parsed]
    for statement in sentences(wanted):
        if _whole(statement, [trace.parsed or ""]) and not _whole(statement, trace.chunks):
            evidence = f"the parsed text of {in_parsed} holds “{short(statement)}”, no chunk of it does"
            return "chunking", evidence
    return None


def cut_answer(
    reference: str, traces: Mapping[str, DocumentTrace]
) -> tuple[Literal["parsing", "chunking"], str] | None:
    """As ``lost_quote``, for an answer that its documents may word otherwise.

    The statement that shares most words with it is the one that answers. Where several share as many, one that is
    whole is enough.
    """
    asked = frozenset(words(reference))
    best, found = ANSWER_SHARE, list[tuple[str, str]]()
    for name, trace in traces.items():
        for statement in _statements(trace.parsed or ""):
            share = len(asked.intersection(words(statement))) / max(1, len(asked))
            if share > best:
                best, found = share, []
            if share == best:
                found.append((name, statement))
    if not found or any(_whole(statement, traces[name].chunks) for name, statement in found):
        return None
    name, statement = found[0]
    return "chunking", f"the parsed text of {name} says “{short(statement)}”, no chunk holds that whole"


def short(text: str | None) -> str:
    """The beginning of a text as one line, in which paragraphs and headings stay apart."""
    line = " / ".join(" ".join(part.split()) for part in (text or "").split("\n\n") if part.strip())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1].rstrip()}…"


def _whole(statement: str, chunks: Sequence[str]) -> bool:
    """Whether one chunk holds a statement. Both are compared without Markdown's marks and the targets of links."""
    return any(_holds("\n".join(_statements(chunk)), statement) for chunk in chunks)


def _holds(text: str, wanted: str) -> bool:
    passage = words(wanted)
    found, present = _searchable(text)
    if len(passage) < RUN:
        return spaced(passage) in found
    return len(covered(passage, present)) >= PASSAGE_COVERAGE * len(passage)


@lru_cache(maxsize=2048)
def _statements(text: str) -> tuple[str, ...]:
    return tuple(sentences(text))


@lru_cache(maxsize=2048)
def _searchable(text: str) -> tuple[str, frozenset[tuple[str, ...]]]:
    """A text's words as one string, and all its runs. Questions want the same documents: computed once."""
    found = words(text)
    return spaced(found), runs(found)
