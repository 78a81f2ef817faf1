"""Which stage is at fault when a question goes wrong, and with what evidence.

ranks, texts on the way from source to chunk, and the judge's scores → first stage that lost the answer. The
order is that of the pipeline: what parsing lost, no search can find. A pure function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from rag_assets.evaluation.diagnosis.loss import DocumentTrace, cut_answer, lost_quote, short

Stage = Literal[
    "sources", "gold set", "parsing", "chunking", "embedding", "retrieval", "ranking", "generation"
]
ADVICE: Mapping[Stage, str] = {
    "sources": "restore what this change removed, or retire the questions that want it",
    "gold set": "correct or retire the questions: what they want is not in the sources",
    "parsing": "look at the parser: the sources hold what the parsed texts lack",
    "chunking": "look at the chunks: the parsed texts hold what the chunks lack",
    "embedding": "look at the vectors: full-text search finds what vector search misses",
    "retrieval": "no search finds what is wanted: look at wording, model and full-text settings",
    "ranking": "what is wanted is found too far down: give answers more contexts, or rank better",
    "generation": "search finds what is wanted, and the answer is wrong: look at prompt and model",
}
EXTRACTIVE_ADVICE = (
    "search finds what is wanted, and what is quoted does not answer: let a language model answer"
)
"""Generation where no language model answers, which has neither prompt nor model."""
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
    new: bool = Field(
        default=False, description="Whether it went right in the published version, or is stale."
    )


class Nowhere(NamedTuple):
    """Passages that no document holds. ``removed``: of those, what the published version holds; ``never``: the others."""

    removed: Collection[str]
    never: Collection[str]


NOTHING_MISSING = Nowhere(frozenset(), frozenset())


class Fault(NamedTuple):
    """A stage and how many questions it costs; ``new``: of those, the ones that went right before."""

    stage: Stage
    questions: int
    new: int


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
    nowhere: Nowhere = NOTHING_MISSING,
) -> Diagnosis | None:
    """Find the stage at fault.

    Args:
        row: the question's row of hybrid search, with the answers' columns if there are any.
        ranks: best rank of any target by search mode.
        traces: by document id, of the documents that the question wants.
        contexts: results that reach an answer.
        nowhere: passages that no document holds.

    Returns:
        None when nothing is wrong.
    """
    identity = str(row["question_id"])
    if row.get("answerable") is False:
        if row.get("abstention") == 0.0:
            evidence = f"no document answers it, yet it was answered: “{short(row['answer'])}”"
            return Diagnosis(question_id=identity, stage="generation", evidence=evidence)
        return None
    if not suspects(row, contexts):
        return None
    stage, evidence = _first_loss(row, ranks, traces, contexts, nowhere)
    return Diagnosis(question_id=identity, stage=stage, evidence=evidence)


def summarize_diagnoses(found: Sequence[Diagnosis]) -> tuple[Fault, ...]:
    """Stages by the number of questions that they cost, most first.

    Questions that went right in the published version decide: what was wrong before is not what a change did.
    """
    new = Counter(one.stage for one in found if one.new)
    counted = Counter(one.stage for one in found).most_common()
    return tuple(sorted((Fault(stage, n, new[stage]) for stage, n in counted), key=lambda one: -one.new))


def advice(stage: Stage, *, extractive: bool) -> str:
    """What to look at. ``extractive``: answers are quoted sentences, without a language model."""
    return EXTRACTIVE_ADVICE if stage == "generation" and extractive else ADVICE[stage]


def _first_loss(
    row: Mapping[str, Any],
    ranks: Mapping[str, int | None],
    traces: Mapping[str, DocumentTrace],
    contexts: int,
    nowhere: Nowhere,
) -> tuple[Stage, str]:
    for document, trace in traces.items():
        if trace.quarantined is not None:
            return "parsing", f"{document} is quarantined: {trace.quarantined}"
    missed = _missed(row, contexts)
    lost = _lost_on_the_way(row, missed, traces, nowhere)
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


def _lost_on_the_way(
    row: Mapping[str, Any],
    missed: Sequence[Mapping[str, Any]],
    traces: Mapping[str, DocumentTrace],
    nowhere: Nowhere,
) -> tuple[Stage, str] | None:
    """The stage before search that lost a passage, or else the reference answer of what was answered wrongly."""
    quotes = [target["text"] for target in missed if target["kind"] == "passage"]
    for quote in quotes:
        lost = lost_quote(quote, traces)
        if lost is not None:
            return lost
        if quote in nowhere.removed:
            return "sources", f"no document holds “{short(quote)}” any more"
        if quote in nowhere.never:
            return "gold set", f"no document holds “{short(quote)}”"
    reference = row.get("reference")
    if not reference or quotes or _bad_answer(row) is None:
        return None
    return lost_quote(reference, traces) or cut_answer(reference, traces)


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
    return "ranking", f"{shown}, but “{short(missed[0]['text'])}” is not among the first {contexts}"


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
            return f"{complaint} ({metric.replace('_', ' ')} {value:.2f}: {short(reasons.get(metric, ''))})"
    return None
