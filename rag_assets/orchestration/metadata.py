"""What each materialization shows in the Dagster UI: counts, throughput, tables and plots."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.evaluation.answers.asking import AskCounts
from rag_assets.evaluation.report.regression import regressions_of
from rag_assets.evaluation.report.report import Report
from rag_assets.index.candidate import Candidate
from rag_assets.ingest.chunking.stage import ChunkCounts
from rag_assets.ingest.embedding.stage import EmbeddingCounts
from rag_assets.ingest.parsing.batch import DocumentCounts
from rag_assets.invalidation.deliver import Outcome
from rag_assets.pipeline.events import EventCounts
from rag_assets.publication.record import Publication
from rag_assets.store.snapshots import OK, Snapshot

if TYPE_CHECKING:
    from rag_assets.pipeline.pipeline import Pipeline

PREVIEW = 8
BIN_TOKENS = 32
Facts = dict[str, Any]


def documents(pipeline: Pipeline, snapshot: Snapshot, counts: DocumentCounts) -> Facts:
    """Counts of the snapshot and of what changed, with a preview."""
    rows = pipeline.context.snapshots.preview(snapshot, PREVIEW)
    preview = rows.select("document_id", "title", "format", "bytes")
    return {
        "dagster/row_count": snapshot.documents,
        "snapshot": snapshot.number,
        "quarantined": snapshot.quarantined,
        **_counts(
            counts,
            *(
                "listed",
                "new",
                "changed",
                "moved",
                "deleted",
                "unchanged",
                "read",
                "parsed",
                "reused",
                "warned",
            ),
        ),
        "bytes_read": counts.bytes_read,
        **_ahead(pipeline),
        "preview": _table(preview),
    }


def events(corpus: Corpus, counts: EventCounts) -> Facts:
    """What became of the events that waited; nothing where the corpus file asks for none."""
    if corpus.events is None:
        return {}
    return {f"events_{name}": number for name, number in asdict(counts).items()}


def quarantined(pipeline: Pipeline, snapshot: Snapshot) -> Facts:
    """How many documents are quarantined for which reason, and the first of them."""
    rejected = pipeline.context.snapshots.quarantined(snapshot)
    if rejected.is_empty():
        return {"quarantined": 0}
    reasons = rejected.group_by("reason").len("documents").sort("documents", descending=True)
    return {
        "quarantined": rejected.height,
        "reasons": _table(reasons),
        "documents": _table(rejected.select("document_id", "reason", "detail").head(PREVIEW)),
    }


def chunks(pipeline: Pipeline, snapshot: Snapshot, counts: ChunkCounts) -> Facts:
    """Counts, and a preview with the distribution of lengths when something was chunked."""
    facts: Facts = {
        **_counts(counts, "chunked", "reused", "chunks", "tokens", "bytes"),
        **_ahead(pipeline),
        "fingerprint": pipeline.context.chunker.fingerprint,
        "snapshot": snapshot.number,
    }
    if counts.chunks:
        facts |= _chunk_preview(pipeline, snapshot) | {
            "tokens_per_chunk": round(counts.tokens / counts.chunks, 1)
        }
    return facts


def embeddings(pipeline: Pipeline, run_id: str, counts: EmbeddingCounts) -> Facts:
    """Counts, throughput and the model."""
    stage = pipeline.runs.of(run_id)["stages"]["embeddings"]
    seconds = max(float(stage["seconds"]), 1e-3)
    about = pipeline.context.embedder.about
    facts: Facts = {
        **_counts(counts, "embedded", "reused", "poisoned", "tokens", "bytes"),
        "fingerprint": pipeline.context.vectors,
        "model": str(about["model"]),
        "precision": str(about["precision"]),
    }
    if counts.embedded:
        facts |= {
            "texts_per_second": round(counts.embedded / seconds, 1),
            "tokens_per_second": round(counts.tokens / seconds, 1),
        }
    return facts


def _ahead(pipeline: Pipeline) -> Facts:
    """What a stream made in this stage of what later ones look for; nothing with ``engine: local``."""
    if pipeline.stream is None:
        return {}
    made = pipeline.stream.ahead
    return {"embedded_ahead": made.embedded, "poisoned_ahead": made.poisoned}


def candidate(found: Candidate, state: str) -> Facts:
    """Version, changes and indexes of a candidate."""
    facts: Facts = {
        "state": state,
        "dagster/row_count": found.chunks,
        "lance_version": found.version,
        "base_publication": found.base,
        "snapshot": found.snapshot,
        "documents": found.documents,
        **{f"documents_{change}": number for change, number in found.changes.items()},
        "indexes": _table([{"index": name, "type": kind} for name, kind in found.facts["indexes"].items()]),
        "poisoned_chunks": found.facts["poisoned"],
    }
    if found.facts.get("vector_recall@10") is not None:
        facts["vector_recall@10"] = float(found.facts["vector_recall@10"])
    return facts


def asked(counts: AskCounts) -> Facts:
    """What was answered or judged, and what it took."""
    reasons = Counter(counts.failures.values()).most_common(PREVIEW)
    rows = [{"reason": reason, "questions": number} for reason, number in reasons]
    return {
        **_counts(counts, "made", "reused", "prompt_tokens", "completion_tokens"),
        "model_seconds": counts.seconds,
        "failed": len(counts.failures),
        **({"failures": _table(rows)} if rows else {}),
    }


def evaluation(pipeline: Pipeline, report: Report, path: str) -> Facts:
    """Headline metrics with their plots, and where the report lies."""
    from rag_assets.evaluation.report.answer_plot import answer_rows, answers_png
    from rag_assets.evaluation.report.plots import modes_png

    facts: Facts = {
        "report": dg.MetadataValue.path(pipeline.objects.uri(f"{path}/report.html")),
        "questions": report.questions,
        "gate": report.gate,
        "lance_version": report.subject.lance_version,
        "compared_with": report.compared_with or 0,
        **{
            f"{row.metric} {row.mode}": row.value
            for row in report.metrics
            if row.tag is None and row.mode == "hybrid"
        },
    }
    if report.questions:
        facts["metrics"] = _table(
            [
                {"metric": row.metric, "mode": row.mode, "value": row.value, "low": row.low, "high": row.high}
                for row in report.metrics
                if row.tag is None
            ]
        )
        facts["plot"] = _picture("metrics by search mode", modes_png(report))
    if answer_rows(report):
        facts["answers_plot"] = _picture("metrics of answers", answers_png(report))
    worse = regressions_of(report)
    if worse:
        facts["worse"] = dg.MetadataValue.md("\n".join(f"- {sentence}" for sentence in worse))
    if report.warnings:
        facts["warnings"] = dg.MetadataValue.md("\n".join(f"- {warning}" for warning in report.warnings))
    return facts


def gate(report: Report) -> Facts:
    """What the gate says, every rule and how it was met, and what was removed that questions want."""
    facts: Facts = {"gate": report.gate}
    if report.removed:
        facts["removed"] = dg.MetadataValue.md("\n".join(f"- {sentence}" for sentence in report.removed))
    outcomes = [
        {"rule": outcome.reason, "passed": outcome.passed, "margin": outcome.margin or 0.0}
        for outcome in report.verdict.outcomes
    ]
    return {**facts, "rules": _table(outcomes) if outcomes else "none"}


def publication(found: Publication, new: bool) -> Facts:
    """What readers see now."""
    return {
        "published": new,
        "publication": found.number,
        "lance_version": found.version,
        "kind": found.kind,
        "reason": found.reason,
        "dagster/row_count": found.chunks,
        "documents": found.documents,
        **{f"documents_{change}": number for change, number in found.changes.items()},
        **dict(found.metrics),
    }


def delivered(outcomes: Sequence[Outcome]) -> Facts:
    """What became of each target."""
    rows = [
        {"target": one.target, "state": one.state, "notices": one.pages, "error": one.error or ""}
        for one in outcomes
    ]
    return {"targets": _table(rows), "notices": sum(one.pages for one in outcomes)}


def _chunk_preview(pipeline: Pipeline, snapshot: Snapshot) -> Facts:
    documents = pipeline.context.snapshots.rows(snapshot, ("document_id", "text_key", "status"))
    sample = documents.filter(pl.col("status") == OK).head(200)
    stored = pipeline.context.chunks.collect(sample["text_key"], ("text", "heading_path", "tokens"))
    rows = stored.drop("key").filter(pl.col("text").list.len() > 0).explode("text", "heading_path", "tokens")
    preview = rows.head(PREVIEW).select(
        "tokens", heading=pl.col("heading_path").list.join(" › "), text=pl.col("text").str.slice(0, 160)
    )
    return {"preview": _table(preview), "lengths": _length_plot(rows)}


def _length_plot(rows: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A histogram of chunk lengths in text: drawing a picture would take longer than a small run."""
    bins = (
        rows.select(tokens=pl.col("tokens") // BIN_TOKENS * BIN_TOKENS).to_series().value_counts(sort=False)
    )
    largest = max(bins["count"], default=1)
    lines = [
        f"{tokens:5d}+ tokens  {'█' * round(30 * count / largest)} {count}"
        for tokens, count in bins.sort("tokens").iter_rows()
    ]
    return dg.MetadataValue.md("\n".join(["```", *lines, "```"]))


def _picture(words: str, png: bytes) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{words}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _counts(counts: object, *names: str) -> Mapping[str, int]:
    return {name: int(getattr(counts, name)) for name in names}


def _table(rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    records = rows.to_dicts() if isinstance(rows, pl.DataFrame) else list(rows)
    if not records:  # without a row Dagster cannot tell the columns
        names = rows.columns if isinstance(rows, pl.DataFrame) else []
        return dg.MetadataValue.table([], schema=dg.TableSchema([dg.TableColumn(name) for name in names]))
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    name: value if isinstance(value, (bool, int, float, str)) else str(value or "")
                    for name, value in row.items()
                }
            )
            for row in records
        ]
    )
