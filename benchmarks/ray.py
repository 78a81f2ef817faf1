"""What the Ray engine costs and gains: the same corpus on the same cores, without a cluster and with one.

Recombined real paragraphs → ``rag-assets run`` with ``engine: local``, then with ``engine: ray`` and 1, 2 and 4
workers of each kind on a cluster that is running already.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.project import NAME, Project
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from benchmarks.texts import clone_cpp_docs, paragraphs_of, recombined, write_documents

STATIC: dict[str, Any] = {"type": "static"}
MODELS: Mapping[str, tuple[dict[str, Any], int]] = {"static": (STATIC, 10_000), "MiniLM": ({}, 500)}
QUICK: Mapping[str, tuple[dict[str, Any], int]] = {"static": (STATIC, 20)}
WORKERS, QUICK_WORKERS = (1, 2, 4), (1, 2)
STAGES = ("documents", "chunks", "embeddings")


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``engines``: for each model, one without a cluster and one per number of workers."""
    paragraphs = paragraphs_of(clone_cpp_docs(setting.data, setting.scratch / "cpp-docs"))
    rows: list[Row] = []
    for model, (embedder, size) in (QUICK if setting.quick else MODELS).items():
        folder = write_documents(setting.scratch / f"documents-{model}", recombined(paragraphs, size))
        local = _row(setting, folder, model, 0, embedder)
        rows.append(local)
        with _cluster():
            for workers in QUICK_WORKERS if setting.quick else WORKERS:
                row = _row(setting, folder, model, workers, embedder)
                assert row["chunks"] == local["chunks"]
                rows.append({**row, "ratio": row["seconds"] / local["seconds"]})
        shutil.rmtree(folder)
    return {"engines": rows}


def _row(setting: Setting, folder: Path, model: str, workers: int, embedder: dict[str, Any]) -> Row:
    pool = {"min": max(1, workers), "max": max(1, workers)}
    cluster = {"cpu_workers": pool, "gpu_workers": pool, "cpus_per_worker": 0.25}
    engine: dict[str, Any] = {"engine": "ray", "ray": cluster} if workers else {}
    project = Project(setting.scratch / f"{NAME}-{model}-{workers}", folder, embedder=embedder, **engine)
    run = project.run()
    seconds = sum(run.stage_seconds[stage] for stage in STAGES)
    chunks = run.stages["candidate"]["rows"]
    shutil.rmtree(project.root)
    return {
        "model": model,
        "engine": f"ray, {workers} + {workers} workers" if workers else "local",
        "workers": workers,
        "chunks": chunks,
        "seconds": seconds,
        "chunks_per_s": chunks / seconds,
    }


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
    name="ray",
    title="A Ray cluster",
    text=(
        "The same corpus with `engine: local` and with `engine: ray`, on the same cores: a cluster of one machine, which "
        "is running already. Its price is connecting, starting actors, and rows that travel between processes; its gain "
        "is overlap, and on more machines than one, their number. Workers are actors that parse and chunk, plus as many "
        "that embed; they share the cores that there are."
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
            ),
            below="Seconds of the stages documents, chunks and embeddings together.",
        ),
    ),
    measure=measure,
)
