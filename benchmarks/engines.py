"""What the engines cost and gain: the same corpus on the same cores, stage by stage, in a stream, and on Ray.

Recombined real paragraphs → ``rag-assets run`` with ``engine: local``, ``stream`` and ``ray``, the last with 1, 2 and 4
workers of each kind on a cluster that is running already. And with a stand-in for a GPU, which leaves the CPU free.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.process import ROOT
from benchmarks.project import NAME, Project
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from benchmarks.texts import clone_cpp_docs, paragraphs_of, recombined, write_documents
from rag_assets.corpus import Embedder
from rag_assets.inference.model_files import find_model

STATIC: dict[str, Any] = {"type": "static"}
MODELS: Mapping[str, tuple[dict[str, Any], int]] = {"static": (STATIC, 10_000), "MiniLM": ({}, 500)}
QUICK: Mapping[str, tuple[dict[str, Any], int]] = {"static": (STATIC, 20)}
WORKERS, QUICK_WORKERS = (1, 2, 4), (1, 2)
PACES, QUICK_PACES = (
    (2_000, 5_000),
    (2_000,),
)  # chunks a second of the stand-in: slower and faster than two cores chunk
STAGES = ("documents", "chunks", "embeddings")


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``engines``: for each model, one per engine, of which Ray has one per number of workers."""
    paragraphs = paragraphs_of(clone_cpp_docs(setting.data, setting.scratch / "cpp-docs"))
    rows: list[Row] = []
    for model, (embedder, size) in (QUICK if setting.quick else MODELS).items():
        folder = write_documents(setting.scratch / f"documents-{model}", recombined(paragraphs, size))
        rows += _here(setting, folder, model, embedder)
        with _cluster():
            for workers in QUICK_WORKERS if setting.quick else WORKERS:
                pool = {"min": workers, "max": workers}
                cluster = {"cpu_workers": pool, "gpu_workers": pool, "cpus_per_worker": 0.25}
                name = f"ray, {workers} + {workers} workers"
                rows.append(_row(setting, folder, model, name, embedder, engine="ray", ray=cluster))
        shutil.rmtree(folder)
    folder = write_documents(
        setting.scratch / "documents-endpoint", recombined(paragraphs, 20 if setting.quick else 10_000)
    )
    for pace in QUICK_PACES if setting.quick else PACES:
        with _stand_in(pace) as embedder:
            rows += _here(setting, folder, f"stand-in, {pace:,} chunks/s", embedder)
    firsts: dict[str, Row] = {}
    for row in rows:
        first = firsts.setdefault(row["model"], row)
        assert row["chunks"] == first["chunks"]
        if row is not first:
            row["ratio"] = row["seconds"] / first["seconds"]
    return {"engines": rows}


def _here(setting: Setting, folder: Path, model: str, embedder: dict[str, Any]) -> list[Row]:
    """The engines of one machine."""
    return [_row(setting, folder, model, engine, embedder, engine=engine) for engine in ("local", "stream")]


def _row(
    setting: Setting, folder: Path, model: str, name: str, embedder: dict[str, Any], **engine: Any
) -> Row:
    project = Project(setting.scratch / NAME, folder, embedder=embedder, **engine)
    run = project.run()
    seconds = sum(run.stage_seconds[stage] for stage in STAGES)
    chunks = run.stages["candidate"]["rows"]
    shutil.rmtree(project.root)
    return {
        "model": model,
        "engine": name,
        "chunks": chunks,
        "seconds": seconds,
        "chunks_per_s": chunks / seconds,
        "peak_gb": run.peak_bytes / 1e9,
    }


@contextmanager
def _stand_in(pace: int) -> Iterator[dict[str, Any]]:
    """Settings of an embedder that asks a stand-in for a GPU."""
    command = [sys.executable, "-m", "benchmarks.stand_in", str(pace)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            yield {
                "type": "openai",
                "model": str(find_model(Embedder()).folder),
                "endpoint": {"url": f"http://127.0.0.1:{port}/v1", "model": "stand-in"},
                "batch_tokens": 65_536,  # many texts in one request, as fast GPUs want them
            }
        finally:
            server.kill()


@contextmanager
def _cluster() -> Iterator[None]:
    """A cluster on this machine, with its own cores, that runs by itself."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": os.cpu_count(), "include_dashboard": False}
    )
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]
        cluster.shutdown()


BENCHMARK = Benchmark(
    name="engines",
    title="Engines: stage by stage, in a stream, on Ray",
    text=(
        "The same corpus on the same cores with each [engine](engines.md). A stream gains where the model leaves the CPU "
        "free: the stand-in answers embedding requests at a fixed pace and computes next to nothing, as a GPU would look "
        "from here. Ray is a cluster of one machine, which is running already: its price is connecting, starting actors, "
        "and rows that travel between processes; its gain is overlap, and on more machines than one, their number. "
        "Workers are actors that parse and chunk, plus as many that embed; they share the cores that there are."
    ),
    tables=(
        Table(
            "engines",
            (
                Column("model", "model"),
                Column("engine", "engine"),
                Column("chunks", "chunks", ","),
                Column("seconds", "documents to vectors, s", ".1f"),
                Column("chunks_per_s", "chunks/s", ",.0f"),
                Column("ratio", "time against local", ".2f"),
                Column("peak_gb", "peak GB", ".2f"),
            ),
            below="Seconds of the stages documents, chunks and embeddings together. Memory is that of the run, without "
            "that of a cluster's own processes.",
        ),
    ),
    measure=measure,
)
