"""All benchmarks, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks import (
    answers,
    backends,
    chunking,
    cold,
    competitors,
    engines,
    events,
    formats,
    incremental,
    judges,
    questions,
    retrieval,
    scale,
)
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from benchmarks.texts import clone_cpp_docs


def _chunking(setting: Setting) -> Mapping[str, Sequence[Row]]:
    if setting.quick:
        return {"splitters": chunking.measure(setting.data, repeats=1)}
    clone = clone_cpp_docs(setting.data, setting.scratch / "cpp-docs")
    return {"splitters": chunking.measure(setting.data, clone / "docs" / "standard-library")}


def _formats(setting: Setting) -> Mapping[str, Sequence[Row]]:
    return {"formats": formats.measure(setting.data)}


CHUNKING = Benchmark(
    name="chunking",
    title="Chunking",
    text=(
        "Speed on the Markdown of cpp-docs' `docs/standard-library`, and fit on five long Markdown files with 472 "
        "questions whose answer spans are known: a static embedder ranks the chunks, and the same number of "
        "characters is read for each question, whatever the size of the chunks. Recall is the share of the answer "
        "that is read; precision the share of what is read that is answer; IoU both in one."
    ),
    tables=(
        Table(
            "splitters",
            (
                Column("splitter", "splitter"),
                Column("note", "note"),
                Column("mb_per_s", "MB/s", ".1f"),
                Column("chunks", "chunks", ","),
                Column("characters", "characters", ".0f"),
                Column("recall", "recall", ".3f"),
                Column("precision", "precision", ".3f"),
                Column("iou", "IoU", ".3f"),
            ),
        ),
    ),
    measure=_chunking,
)
FORMATS = Benchmark(
    name="formats",
    title="Document formats",
    text=(
        "More than 600 real files, scans, encrypted and broken ones among them: parsed, or quarantined with a reason. "
        "Where docling's expected text is known, similarity is the F1 of words, without markup."
    ),
    tables=(
        Table(
            "formats",
            (
                Column("format", "format"),
                Column("files", "files"),
                Column("parsed", "parsed"),
                Column("quarantined", "quarantined"),
                Column("compared", "compared"),
                Column("similarity_median", "similarity, median", ".3f"),
                Column("similarity_mean", "mean", ".3f"),
                Column("documents_per_second", "documents/s", ",.0f"),
            ),
        ),
    ),
    measure=_formats,
)

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        cold.BENCHMARK,
        backends.BENCHMARK,
        incremental.BENCHMARK,
        scale.BENCHMARK,
        engines.BENCHMARK,
        competitors.BENCHMARK,
        events.BENCHMARK,
        retrieval.BENCHMARK,
        judges.BENCHMARK,
        answers.BENCHMARK,
        questions.BENCHMARK,
        CHUNKING,
        FORMATS,
    )
}
