"""Trace what became of the documents that failing questions want, from source to chunk."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from rag_assets.errors import RagAssetsError
from rag_assets.evaluation.candidate.targets import Targets
from rag_assets.evaluation.diagnosis.diagnosis import (
    Diagnosis,
    diagnose,
    misled_by_vectors,
    shown_ranks,
    suspects,
)
from rag_assets.evaluation.diagnosis.loss import DocumentTrace
from rag_assets.evaluation.gate.targets import TargetChanges
from rag_assets.evaluation.search.measured import SHOWN_MODE, Measured
from rag_assets.index.candidate import Candidate, snapshot_of
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.parsing.batch import document_store
from rag_assets.ingest.sources.open import open_sources
from rag_assets.store.snapshots import OK

TRACED = 500  # questions whose documents are read again; as many as tell what is to be mended
DEFAULT_CONTEXTS = 5
_TAG = re.compile(r"<[^>]+>")


def diagnose_all(
    context: IngestContext,
    candidate: Candidate,
    measured: Measured,
    published: Measured | None,
    targets: Targets,
) -> tuple[tuple[Diagnosis, ...], int]:
    """A diagnosis of every question that went wrong, stale ones included, and how many were left out.

    Args:
        context: the corpus.
        candidate: what was evaluated.
        measured: the evaluation, stale questions left out.
        published: that of the published version, None when there is none.
        targets: what became of the questions' targets.
    """
    answers = context.corpus.evaluation.answers
    contexts = answers.contexts if answers else DEFAULT_CONTEXTS
    right = frozenset[str]() if published is None else _went_right(published, contexts)
    keys = dict(measured.figures.select("question_id", "question_key").iter_rows())
    found = _without_documents(targets.changes, frozenset(name for name, key in keys.items() if key in right))
    known = [one.question_id for one in found]
    rows = measured.figures.filter(~pl.col("question_id").is_in(known), mode=SHOWN_MODE).iter_rows(named=True)
    wrong = [row for row in rows if suspects(row, contexts)]
    failing = wrong[:: max(1, math.ceil(len(wrong) / TRACED))]  # from all parts of the gold set
    texts = measured.texts(row["question_id"] for row in failing)
    failing = [row | texts[row["question_id"]] for row in failing]
    ranks = {name: found for name, found in _ranks(measured).items() if name not in known}
    traces = _traces(context, candidate, failing)
    for row in failing:
        mine = {name: traces[name] for name in _documents(row) if name in traces}
        one = diagnose(row, ranks.get(row["question_id"], {}), mine, contexts, targets.nowhere)
        if one is not None:
            found.append(one.model_copy(update={"new": row["question_key"] in right}))
    diagnosed = {one.question_id for one in found} | {row["question_id"] for row in failing}
    misled = misled_by_vectors(ranks, contexts)
    found += [
        Diagnosis(
            question_id=identity,
            stage="embedding",
            evidence=shown_ranks(ranks[identity]),
            new=keys[identity] in right,
        )
        for identity in ranks
        if identity in misled and identity not in diagnosed
    ]
    return tuple(found), len(wrong) - len(failing)


def _without_documents(changes: TargetChanges, right: frozenset[str]) -> list[Diagnosis]:
    """Questions whose documents are not there, so that nothing of them can be traced. ``right``: met by the published."""
    found = []
    for lost in changes.lost:
        removed = [target.text for target in lost.targets if target.kind == "document"]
        if removed:
            found.append(
                Diagnosis(
                    question_id=lost.question_id,
                    stage="sources",
                    evidence=f"{removed[0]} was removed",
                    new=lost.question_id in right,
                )
            )
    for stale in changes.stale:
        evidence = f"{stale.documents[0]} is not in the corpus"
        found.append(Diagnosis(question_id=stale.question_id, stage="gold set", evidence=evidence, new=True))
    return found


def _ranks(measured: Measured) -> dict[str, dict[str, int | None]]:
    """Best rank of any target by search mode, by question id."""
    found: dict[str, dict[str, int | None]] = {}
    for identity, mode, rank in measured.figures.select("question_id", "mode", "first_rank").iter_rows():
        found.setdefault(identity, {})[mode] = rank
    return found


def _went_right(published: Measured, contexts: int) -> frozenset[str]:
    """Keys of the questions that the published version met. Keys, since ids may change."""
    misled = misled_by_vectors(_ranks(published), contexts)
    return frozenset(
        row["question_key"]
        for row in published.figures.filter(mode=SHOWN_MODE).iter_rows(named=True)
        if not suspects(row, contexts) and row["question_id"] not in misled
    )


def _documents(row: Mapping[str, Any]) -> list[str]:
    """Documents that a question wants; where it wants a passage and names none, those that search found."""
    targets = row["targets"] or ()
    wanted = [target["text"] for target in targets if target["kind"] == "document"]
    if wanted or not any(target["rank"] is None for target in targets):
        return wanted
    return list(dict.fromkeys(hit["document_id"] for hit in row["hits"] or ()))


def _traces(
    context: IngestContext, candidate: Candidate, failing: list[dict[str, Any]]
) -> dict[str, DocumentTrace]:
    wanted = sorted({name for row in failing for name in _documents(row)})
    if not wanted:
        return {}
    rows = context.snapshots.rows_of(snapshot_of(context.snapshots, candidate), wanted)
    sources = dict(
        zip(
            (source.prefix for source in context.corpus.sources),
            open_sources(context.corpus, context.objects),
            strict=True,
        )
    )
    found = {}
    for row in rows.iter_rows(named=True):
        if row["status"] != OK:
            found[row["document_id"]] = DocumentTrace(f"{row['reason']}: {row['detail']}", None, None, ())
            continue
        texts = document_store(context.objects, row["format"]).collect(
            pl.Series("key", [row["content_key"]]), ("text",)
        )
        chunks = context.chunks.collect(pl.Series("key", [row["text_key"]]), ("text",))
        found[row["document_id"]] = DocumentTrace(
            None,
            _source_text(sources, row),
            texts["text"][0] if texts.height else None,
            chunks["text"][0].to_list() if chunks.height else (),
        )
    return found


def _source_text(sources: Mapping[str, Any], row: Mapping[str, Any]) -> str | None:
    """The raw text without mark-up; None for what is no text or can no longer be read."""
    try:
        text = sources[row["source"]].read(row["uri"]).decode("utf-8")
    except (RagAssetsError, UnicodeDecodeError, KeyError):
        return None  # the diagnosis then rests on the parsed text
    return _TAG.sub(" ", text)
