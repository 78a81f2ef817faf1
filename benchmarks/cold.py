"""Cold ingest with the default model against the bare model encoding the same texts.

cpp-docs → a first run of ``rag-assets run`` | ``SentenceTransformer.encode`` of the very texts that
it embeds, in a process of its own. Both in turns, in changing order, since machines drift.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.process import run
from benchmarks.project import Project, Run
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from benchmarks.texts import clone_cpp_docs, copy_some
from rag_assets.inference.precision import resolve

FOLDERS = ("docs/build", "docs/build-insights", "docs/overview")  # more than 5,000 chunks
QUICK_FILES = 6


def documents(setting: Setting) -> Path:
    """The documents of this benchmark."""
    clone = clone_cpp_docs(setting.data, setting.scratch / "cpp-docs")
    count = QUICK_FILES if setting.quick else 10_000
    target = setting.scratch / "documents"
    for name in FOLDERS:
        copy_some(clone / name, target / name, count)
    return target


def embedded_texts(project: Project) -> list[str]:
    """The distinct texts that a run embeds, in its order: parsed and chunked, not embedded."""
    pipeline = project.pipeline()
    snapshot, _, _ = pipeline.documents()
    pipeline.chunks()
    keys = pipeline.context.snapshots.readable(snapshot)["text_key"]
    chunks = (
        pipeline.context.chunks.collect(keys, ("context", "text")).explode("context", "text").drop_nulls()
    )
    return chunks.select(pl.col("context") + pl.col("text")).to_series().unique(maintain_order=True).to_list()


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``ratio`` (one per precision) and ``stages``."""
    folder = documents(setting)
    native = resolve("auto") == "bfloat16"
    orders: dict[str, tuple[str, ...]] = {"bfloat16": ("ours", "bare", "bare", "ours")} if native else {}
    # Twice as long each; where bfloat16 is native, one pair shows what it saves.
    orders["float32"] = ("bare", "ours") if native else ("ours", "bare", "bare", "ours")
    rows, stages = [], []
    for precision, order in orders.items():
        embedder = {"precision": precision}
        texts = embedded_texts(Project(setting.scratch / f"texts-{precision}", folder, embedder=embedder))
        file = setting.scratch / f"{precision}.json"
        file.write_text(json.dumps(texts))
        runs: list[Run] = []
        bare: list[dict[str, Any]] = []
        for number, turn in enumerate(order[:2] if setting.quick else order):
            if turn == "ours":
                root = setting.scratch / f"cold-{precision}-{number}"
                runs.append(Project(root, folder, embedder=embedder).run())
            else:
                bare.append(_bare(file, precision))
        rows.append(_ratio(precision, len(texts), runs, bare))
        stages.append(_stages(precision, runs, bare))
    return {"ratio": rows, "stages": stages}


def _bare(texts: Path, precision: str) -> dict[str, Any]:
    finished = run(["-m", "benchmarks.bare_encode", str(texts), precision])
    found: dict[str, Any] = json.loads(finished.output)
    return {**found, "seconds": finished.seconds, "peak_bytes": finished.peak_bytes}


def _ratio(precision: str, chunks: int, runs: list[Run], bare: list[dict[str, Any]]) -> Row:
    ours, theirs = _mean(run.seconds for run in runs), _mean(one["seconds"] for one in bare)
    inside = _mean(run.seconds - run.stage_seconds["start"] for run in runs)
    bare_inside = _mean(one["load"] + one["encode"] for one in bare)
    for one in runs:
        assert one.outcome["embedded_texts"] == chunks, "not the same texts were embedded"
    return {
        "precision": precision,
        "chunks": chunks,
        "ours": ours,
        "bare": theirs,
        "ratio": ours / theirs,
        "ratio_without_start": inside / bare_inside,
        "reached": ours / theirs <= 1.02,
        "ours_rate": chunks / ours,
        "bare_rate": chunks / theirs,
        "ours_peak": max(run.peak_bytes for run in runs) / 1e9,
        "bare_peak": max(one["peak_bytes"] for one in bare) / 1e9,
    }


def _stages(precision: str, runs: list[Run], bare: list[dict[str, Any]]) -> Row:
    stages = [run.stage_seconds for run in runs]
    return {
        "precision": precision,
        **{name: _mean(one[name] for one in stages) for name in stages[0]},
        "bare_start": _mean(one["seconds"] - one["load"] - one["encode"] for one in bare),
        "bare_load": _mean(one["load"] for one in bare),
        "bare_encode": _mean(one["encode"] for one in bare),
    }


def _mean(values: Any) -> float:
    return statistics.fmean(values)


BENCHMARK = Benchmark(
    name="cold",
    title="Cold ingest against the bare model",
    text=(
        "The first run over folders of real documentation (cpp-docs, `docs/build` and two more) with the default "
        "model, from raw files to a published index, through the command line. *Bare* is one "
        "`SentenceTransformer.encode(texts, normalize_embeddings=True)` of exactly the same texts with the same "
        "precision, in a process of its own: no reading, no parsing, no chunking, nothing kept. The goal is a ratio "
        "of 1.02 at 5,000 chunks or more."
    ),
    tables=(
        Table(
            "ratio",
            (
                Column("precision", "precision"),
                Column("chunks", "chunks", ","),
                Column("ours", "rag-assets s", ".1f"),
                Column("bare", "bare s", ".1f"),
                Column("ratio", "ratio", ".3f"),
                Column("ratio_without_start", "ratio without process start", ".3f"),
                Column("reached", "≤ 1.02"),
                Column("ours_rate", "chunks/s", ".0f"),
                Column("bare_rate", "bare chunks/s", ".0f"),
                Column("ours_peak", "peak GB", ".2f"),
                Column("bare_peak", "bare peak GB", ".2f"),
            ),
            below=(
                "Seconds are means of the runs, which alternate. Process start is the interpreter with its imports "
                "and, on our side, Dagster; loading the model counts as work on both sides. Memory is that of the "
                "process and its children together."
            ),
        ),
        Table(
            "stages",
            (
                Column("precision", "precision"),
                Column("start", "start", ".1f"),
                Column("documents", "documents", ".1f"),
                Column("chunks", "chunks", ".1f"),
                Column("embeddings", "embeddings", ".1f"),
                Column("candidate", "index", ".1f"),
                Column("evaluation", "evaluation", ".1f"),
                Column("publication", "publication", ".1f"),
                Column("bare_start", "bare: start", ".1f"),
                Column("bare_load", "bare: load", ".1f"),
                Column("bare_encode", "bare: encode", ".1f"),
            ),
            above="Where the time goes, in seconds:",
        ),
    ),
    measure=measure,
)
