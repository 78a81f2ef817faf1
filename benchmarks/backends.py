"""What feeds a GPU, and what computes vectors: the CPU stages alone, and the backends on the same texts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cold import documents, embedded_texts
from benchmarks.process import Finished, run
from benchmarks.project import Project
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from benchmarks.texts import clone_cpp_docs
from rag_assets.ingest.embedding.parity import cosines

TEXTS, QUICK_TEXTS = 1_500, 40
GPU_CHUNKS = 20_000  # a second: a fast GPU with a small model
VLLM = Path(__file__).resolve().parents[1] / ".venv-vllm" / "bin" / "python"


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``cpu`` and ``backends``."""
    return {"cpu": [_cpu(setting)], "backends": _backends(setting)}


def _cpu(setting: Setting) -> Row:
    """Parsing and chunking alone, with all cores of this machine."""
    folder = clone_cpp_docs(setting.data, setting.scratch / "whole-cpp-docs") / "docs"
    folder = folder / "overview" if setting.quick else folder
    pipeline = Project(setting.scratch / "cpu", folder, embedder={}).pipeline()
    snapshot, documents_, _ = pipeline.documents()
    chunks = pipeline.chunks()
    stages = pipeline.runs.of(pipeline.run_id)["stages"]
    seconds = {name: float(stages[name]["seconds"]) for name in ("documents", "chunks")}
    cores, total = os.cpu_count() or 1, sum(seconds.values())
    return {
        "documents": snapshot.documents,
        "mb": documents_.bytes_read / 1e6,
        "chunks": chunks.chunks,
        "parse_s": seconds["documents"],
        "chunk_s": seconds["chunks"],
        "mb_per_s": documents_.bytes_read / 1e6 / total,
        "chunks_per_s": chunks.chunks / total,
        "cores": cores,
        "cores_per_gpu": GPU_CHUNKS / (chunks.chunks / total / cores),
    }


def _backends(setting: Setting) -> list[Row]:
    project = Project(setting.scratch / "texts", documents(setting), embedder={"precision": "float32"})
    texts = embedded_texts(project)[: QUICK_TEXTS if setting.quick else TEXTS]
    file = setting.scratch / "texts.json"
    file.write_text(json.dumps(texts))
    common = {"precision": "float32"}
    engine = {**common, "type": "vllm", "vllm": {"gpu_memory_utilization": 0.2}}
    plans: list[tuple[str, dict[str, Any], str | None]] = [("sentence-transformers", common, None)]
    if VLLM.exists():
        plans.append(("vllm", engine, str(VLLM)))
    plans.append(("sentence-transformers", common, None))
    rows: list[Row] = []
    reference = None
    for number, (name, settings, python) in enumerate(plans):
        found, vectors = _embed(setting.scratch / str(number), file, settings, python)
        reference = vectors if reference is None else reference
        rows.append(
            {
                "backend": name,
                "chunks": len(texts),
                "load": found["load"],
                "embed": found["embed"],
                "chunks_per_s": len(texts) / found["embed"],
                "tokens_per_s": found["tokens"] / found["embed"],
                "ratio": found["embed"] / rows[0]["embed"] if rows else 1.0,
                "min_cosine": float(cosines(vectors, reference).min()),
            }
        )
    return rows


def _embed(
    scratch: Path, texts: Path, settings: Mapping[str, Any], python: str | None
) -> tuple[dict[str, float], Any]:
    scratch.mkdir()
    config, target = scratch / "embedder.json", scratch / "vectors.npy"
    config.write_text(json.dumps(settings))
    finished: Finished = run(
        ["-m", "benchmarks.embed_alone", str(texts), str(config), str(target)], python=python
    )
    # vLLM's own processes write to the same output.
    (line,) = [line for line in finished.output.splitlines() if line.startswith("{")]
    return json.loads(line), np.load(target)


BENCHMARK = Benchmark(
    name="backends",
    title="What feeds a GPU, and what computes vectors",
    text=(
        "The CPU's part alone, parsing and chunking of cpp-docs' documentation with the default model's tokenizer, says "
        "how many cores keep one GPU busy that embeds 20,000 chunks a second. Below it the backends on the same texts, "
        "on this machine's CPU, in float32, each in a process of its own; the first one runs twice, to show how far the "
        "machine drifts. On a GPU: `python -m benchmarks.gpu FOLDER`."
    ),
    tables=(
        Table(
            "cpu",
            (
                Column("documents", "documents", ","),
                Column("mb", "MB", ".1f"),
                Column("chunks", "chunks", ","),
                Column("parse_s", "parse, s", ".1f"),
                Column("chunk_s", "chunk, s", ".1f"),
                Column("mb_per_s", "MB/s", ".2f"),
                Column("chunks_per_s", "chunks/s", ",.0f"),
                Column("cores", "cores"),
                Column("cores_per_gpu", "cores for 20,000 chunks/s", ".0f"),
            ),
        ),
        Table(
            "backends",
            (
                Column("backend", "backend"),
                Column("chunks", "chunks", ","),
                Column("load", "start, s", ".1f"),
                Column("embed", "embed, s", ".1f"),
                Column("chunks_per_s", "chunks/s", ".1f"),
                Column("tokens_per_s", "tokens/s", ",.0f"),
                Column("ratio", "÷ first", ".2f"),
                Column("min_cosine", "least cosine", ".7f"),
            ),
        ),
    ),
    measure=measure,
)
