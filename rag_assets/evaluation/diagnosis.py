"""Which stage is at fault when a question goes wrong, and with what evidence.

ranks, texts on the way from source to chunk, and the judge's scores → first stage that lost the answer. The
order is that of the pipeline: what parsing lost, no search can find. A pure function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rag_assets.gold.words import PASSAGE_COVERAGE, RUN, covered, runs, spaced, words

Stage = Literal["gold set", "parsing", "chunking", "embedding", "retrieval", "ranking", "generation"]
ADVICE: Mapping[Stage, str] = {
    "gold set": "correct or remove the questions: what they want is not in the sources",
    "parsing": "look at the parser: the sources hold what the parsed texts lack",
    "chunking": "look at the chunks: the parsed texts hold what the chunks lack",
    "embedding": "look at the vectors: full-text search finds what vector search misses",
    "retrieval": "no search finds the right document: look at wording, model and full-text settings",
    "ranking": "the right document is found too far down: give answers more contexts, or rank better",
    "generation": "the contexts hold the answer and the generator misses it: look at prompt and model",
}
COMPLAINTS = (
    ("faithfulness", 0.4, "the contexts do not support the answer"),
    ("answer_correctness", 0.3, "the answer is not what the reference says"),
    ("answer_relevancy", 0.5, "the answer does not bear on the question"),
)
"""(metric, least value, what a lower one means)."""
FAR = 10  # a leg that finds a target this much further down than the other is at fault
BLIND_SHARE = 0.3
"""Vector search that misses this share of what full-text search finds is broken, even where the fusion of
both hides it."""


class Diagnosis(BaseModel):
    """The stage at fault for one question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question_id: str
    stage: Stage
    evidence: str


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


def suspects(row: Mapping[str, Any], contexts: int) -> bool:
    """Whether a question (a row of hybrid search, with the answers' columns if there are any) went wrong."""
    if row.get("answerable") is False:
        return row.get("abstention") == 0.0
    return bool(_missed(row, contexts)) or _bad_answer(row) is not None


def misled_by_vectors(ranks: Mapping[str, Mapping[str, int | None]], contexts: int) -> frozenset[str]:
    """Questions that only full-text search finds, if they are so many that the vectors must be wrong.

    Args:
        ranks: best rank of any target by search mode, by question id.
        contexts: results that reach an answer.
    """
    misled = frozenset(identity for identity, mine in ranks.items() if _vectors_miss(mine, contexts))
    return misled if len(misled) >= BLIND_SHARE * len(ranks) else frozenset()


def diagnose(
    row: Mapping[str, Any],
    ranks: Mapping[str, int | None],
    traces: Mapping[str, DocumentTrace],
    contexts: int,
) -> Diagnosis | None:
    """Find the stage at fault.

    Args:
        row: the question's row of hybrid search, with the answers' columns if there are any.
        ranks: best rank of any target by search mode.
        traces: by document id, of the documents that the question wants.
        contexts: results that reach an answer.

    Returns:
        None when nothing is wrong.
    """
    identity = str(row["question_id"])
    if row.get("answerable") is False:
        if row.get("abstention") == 0.0:
            evidence = f"no document answers it, yet it was answered: “{_short(row['answer'])}”"
            return Diagnosis(question_id=identity, stage="generation", evidence=evidence)
        return None
    if not suspects(row, contexts):
        return None
    stage, evidence = _first_loss(row, ranks, traces, contexts)
    return Diagnosis(question_id=identity, stage=stage, evidence=evidence)


def summarize_diagnoses(found: Sequence[Diagnosis]) -> tuple[tuple[Stage, int], ...]:
    """Stages by the number of questions that they cost, most first."""
    return tuple(Counter(one.stage for one in found).most_common())


def _first_loss(
    row: Mapping[str, Any],
    ranks: Mapping[str, int | None],
    traces: Mapping[str, DocumentTrace],
    contexts: int,
) -> tuple[Stage, str]:
    for document, trace in traces.items():
        if trace.quarantined is not None:
            return "parsing", f"{document} is quarantined: {trace.quarantined}"
    missed = _missed(row, contexts)
    for wanted in _texts_wanted(row, missed):
        lost = _lost_on_the_way(wanted, traces)
        if lost is not None:
            return lost
    if missed:
        return _search_at_fault(missed, ranks, contexts)
    lacking = _contexts_lack(row, traces)
    if lacking is not None:
        return "ranking", lacking
    return "generation", _bad_answer(row) or "the answer is wrong"


def _missed(row: Mapping[str, Any], contexts: int) -> list[Mapping[str, Any]]:
    """Targets that do not reach an answer; none where there are more targets than contexts and these are full of them."""
    missed = [target for target in row["targets"] if target["rank"] is None or target["rank"] > contexts]
    return missed if len(row["targets"]) - len(missed) < contexts else []


def _contexts_lack(row: Mapping[str, Any], traces: Mapping[str, DocumentTrace]) -> str | None:
    """Why the answer cannot stand in the contexts although its documents do; None when it may.

    A long document is found by one of its chunks, and another holds the answer.
    """
    shown = row.get("contexts") or ()
    hidden = {
        document: len(trace.chunks) - sum(context["document_id"] == document for context in shown)
        for document, trace in traces.items()
    }
    if row.get("contextual_recall") != 0.0 or not any(count > 0 for count in hidden.values()):
        return None
    parts = ", ".join(
        f"{count} other chunks of {document}" for document, count in hidden.items() if count > 0
    )
    return f"the contexts hold nothing of the reference answer; there are {parts}"


def _texts_wanted(row: Mapping[str, Any], missed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Quotes that must stand somewhere: passages, and the reference answer where there is one."""
    quotes = [target["text"] for target in missed if target["kind"] == "passage"]
    reference = row.get("reference")
    if reference and not quotes and _bad_answer(row) is not None:
        quotes.append(reference)
    return quotes


def _lost_on_the_way(wanted: str, traces: Mapping[str, DocumentTrace]) -> tuple[Stage, str] | None:
    """Where a quote was lost between source and chunk; None when it was not, or nobody can tell."""
    sources = [(name, trace.source) for name, trace in traces.items() if trace.source is not None]
    parsed = [(name, trace.parsed) for name, trace in traces.items() if trace.parsed is not None]
    in_source = next((name for name, text in sources if _holds(text, wanted)), None)
    in_parsed = next((name for name, text in parsed if _holds(text, wanted)), None)
    quoted = f"“{_short(wanted)}”"
    if in_parsed is None:
        if in_source is not None:
            return "parsing", f"{in_source} holds {quoted}, its parsed text does not"
        return None
    if not _holds("\n".join(traces[in_parsed].chunks), wanted):
        return "chunking", f"the parsed text of {in_parsed} holds {quoted}, its chunks do not"
    return None


def _search_at_fault(
    missed: Sequence[Mapping[str, Any]], ranks: Mapping[str, int | None], contexts: int
) -> tuple[Stage, str]:
    shown, hybrid = shown_ranks(ranks), ranks.get("hybrid")
    if _vectors_miss(ranks, contexts):
        return "embedding", shown
    if hybrid is None:
        return "retrieval", shown
    if hybrid > contexts:
        return "ranking", f"{shown}; answers see the first {contexts}"
    return "ranking", f"{shown}, but “{_short(missed[0]['text'])}” is not among the first {contexts}"


def shown_ranks(ranks: Mapping[str, int | None]) -> str:
    """What each search found, in words."""
    return ", ".join(
        f"{mode} {'not found' if rank is None else f'rank {rank}'}" for mode, rank in ranks.items()
    )


def _vectors_miss(ranks: Mapping[str, int | None], contexts: int) -> bool:
    vector, text = ranks.get("vector"), ranks.get("text")
    return text is not None and text <= contexts and (vector is None or vector > FAR * text)


def _bad_answer(row: Mapping[str, Any]) -> str | None:
    """What is wrong with the answer, in words; None when nothing is, or nothing was answered or judged."""
    if row.get("answered") == 0.0:
        return "it abstained from a question that has an answer"
    reasons = {score["metric"]: score["reason"] for score in row.get("scores") or ()}
    for metric, least, complaint in COMPLAINTS:
        value = row.get(metric)
        if value is not None and value < least:
            return f"{complaint} ({metric.replace('_', ' ')} {value:.2f}: {_short(reasons.get(metric, ''))})"
    return None


def _holds(text: str, wanted: str) -> bool:
    sequence, passage = words(text), words(wanted)
    if len(passage) < RUN:
        return spaced(passage) in spaced(sequence)
    return len(covered(passage, runs(sequence))) >= PASSAGE_COVERAGE * len(passage)


def _short(text: str | None, length: int = 100) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
