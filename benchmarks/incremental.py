"""What a second run costs: nothing changed, 1 % changed, as a share of the first.

Cold, no-op, 1 % of the documents edited, no-op again; each a ``rag-assets run`` of its own.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.project import STAGES, Project, Run
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from benchmarks.texts import clone_cpp_docs, edit_documents, paragraphs_of, recombined, write_documents

DOCUMENTS, QUICK_DOCUMENTS = 10_000, 100
REPEATS = 3
SHARE = 0.01


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``runs`` (one per model) and ``stages``."""
    count = QUICK_DOCUMENTS if setting.quick else DOCUMENTS
    paragraphs = paragraphs_of(clone_cpp_docs(setting.data, setting.scratch / "cpp-docs"))
    folder = write_documents(setting.scratch / "documents", recombined(paragraphs, count))
    models: dict[str, dict[str, Any]] = {"default": {}, "static": {"embedder": {"type": "static"}}}
    rows: list[Row] = []
    stages: list[Row] = []
    for name, settings in models.items():
        project = Project(setting.scratch / name, folder, **settings)
        cold = project.run()
        idle = [project.run() for _ in range(1 if setting.quick else REPEATS)]
        edited = [_edit_and_run(project, number) for number in range(1 if setting.quick else REPEATS)]
        noop, changed = _median(idle), _median(edited)
        rows.append(
            {
                "model": name,
                "documents": cold.stages["documents"]["new"],
                "chunks": cold.stages["candidate"]["rows"],
                "cold": cold.seconds,
                "noop": noop.seconds,
                "noop_share": noop.seconds / cold.seconds,
                "fast_noop": noop.seconds < 5,
                "embedded": changed.outcome["embedded_texts"],
                "changed": changed.seconds,
                "changed_share": changed.seconds / cold.seconds,
                "beyond": (changed.seconds - noop.seconds) / cold.seconds,
                "cheap_change": changed.seconds < 0.03 * cold.seconds + noop.seconds,
            }
        )
        for kind, run in (("cold", cold), ("no-op", noop), ("1 % changed", changed)):
            stages.append({"run": f"{name}, {kind}", **run.stage_seconds, "peak": run.peak_bytes / 1e9})
        shutil.rmtree(project.store)
    return {"runs": rows, "stages": stages}


def _edit_and_run(project: Project, number: int) -> Run:
    edited = edit_documents(project.documents, SHARE, f"remark {number}")
    run = project.run()
    assert run.stages["documents"]["changed"] == edited
    return run


def _median(runs: list[Run]) -> Run:
    middle = statistics.median_low(run.seconds for run in runs)
    return next(run for run in runs if run.seconds == middle)


BENCHMARK = Benchmark(
    name="incremental",
    title="Nothing changed, one percent changed",
    text=(
        "What a run costs after the first one, through the command line, process start included: 10,000 documents of "
        "recombined real paragraphs, with the default model, and with the static one, where nothing hides behind the "
        "model. In 1 % of the documents a paragraph is added. Goals: a no-op below 5 s; 1 % changed below 3 % of cold "
        "plus the no-op. The static model misses the second: its cold run is so short that importing LanceDB "
        "and adding a table version, which every change needs, are more than 3 % of it."
    ),
    tables=(
        Table(
            "runs",
            (
                Column("model", "model"),
                Column("documents", "documents", ","),
                Column("chunks", "chunks", ","),
                Column("cold", "cold s", ".1f"),
                Column("noop", "no-op s", ".2f"),
                Column("noop_share", "of cold", ".1%"),
                Column("fast_noop", "< 5 s"),
                Column("embedded", "texts embedded", ","),
                Column("changed", "1 % changed s", ".2f"),
                Column("changed_share", "of cold", ".1%"),
                Column("beyond", "beyond the no-op, of cold", ".1%"),
                Column("cheap_change", "< 3 %"),
            ),
            below=f"No-op and 1 % changed are medians of {REPEATS} runs.",
        ),
        Table(
            "stages",
            (
                Column("run", "run"),
                Column("start", "start", ".2f"),
                *(Column(name, "index" if name == "candidate" else name, ".2f") for name in STAGES),
                Column("peak", "peak GB", ".2f"),
            ),
            above="Where the time goes, in seconds:",
        ),
    ),
    measure=measure,
)
