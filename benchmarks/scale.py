"""How time, memory and bytes grow with the corpus: 1,000, 10,000 and 100,000 documents, no heavy model.

Recombined real paragraphs → ``rag-assets run`` with the static embedder.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from benchmarks.project import NAME, STAGES, Project
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from benchmarks.texts import clone_cpp_docs, paragraphs_of, recombined, write_documents

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000), (20,)


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``growth`` and ``stages``, one per size."""
    paragraphs = paragraphs_of(clone_cpp_docs(setting.data, setting.scratch / "cpp-docs"))
    growth: list[Row] = []
    stages: list[Row] = []
    for size in QUICK_SIZES if setting.quick else SIZES:
        folder = write_documents(setting.scratch / f"documents-{size}", recombined(paragraphs, size))
        project = Project(setting.scratch / f"scale-{size}", folder, embedder={"type": "static"})
        run = project.run()
        chunks = run.stages["candidate"]["rows"]
        assert run.stages["documents"]["new"] == size
        growth.append(
            {
                "documents": size,
                "chunks": chunks,
                "megabytes": run.stages["documents"]["bytes_read"] / 1e6,
                "seconds": run.seconds,
                "documents_per_s": size / run.seconds,
                "chunks_per_s": chunks / run.seconds,
                "peak": run.peak_bytes / 1e9,
                "parquet": project.bytes_below("content") / chunks,
                "index": project.bytes_below(f"index/{NAME}.lance") / chunks,
            }
        )
        stages.append({"documents_count": size, **run.stage_seconds})
        shutil.rmtree(project.root)
        shutil.rmtree(folder)
    return {"growth": growth, "stages": stages}


BENCHMARK = Benchmark(
    name="scale",
    title="Scale",
    text=(
        "Documents of about 2 kB, put together from real paragraphs so that every text differs, with the static "
        "embedder: what remains is what the pipeline itself costs. A cold run through the command line, process start "
        "included."
    ),
    tables=(
        Table(
            "growth",
            (
                Column("documents", "documents", ","),
                Column("chunks", "chunks", ","),
                Column("megabytes", "MB of text", ",.0f"),
                Column("seconds", "s", ".1f"),
                Column("documents_per_s", "documents/s", ",.0f"),
                Column("chunks_per_s", "chunks/s", ",.0f"),
                Column("peak", "peak GB", ".2f"),
                Column("parquet", "Parquet bytes per chunk", ",.0f"),
                Column("index", "index bytes per chunk", ",.0f"),
            ),
            below=(
                "Parquet: the content stores of documents, chunks and embeddings together. Index: the whole LanceDB "
                "table with text, metadata, vectors and all indexes. A vector alone is 1,024 bytes."
            ),
        ),
        Table(
            "stages",
            (
                Column("documents_count", "documents", ","),
                Column("start", "start", ".1f"),
                *(Column(name, "index" if name == "candidate" else name, ".1f") for name in STAGES),
            ),
            above="Where the time goes, in seconds:",
        ),
    ),
    measure=measure,
)
