"""Real corpora in real stores: what the stages made is judged once, and planted faults are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rag_assets.errors import ConfigurationError, GateRefused
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.quality import judge as judging
from rag_assets.quality import texts as measuring
from rag_assets.quality.files import QualityFiles
from rag_assets.quality.report import QualityReport, StageReport
from rag_assets.quality.stage import check_quality, quality_report, require_quality
from rag_assets.quality.suite import Suite
from rag_assets.quality.tables import Stage
from rag_assets.store.content import ContentStore
from rag_assets_tests.quality.samples import GERMAN
from rag_assets_tests.workspace import Workspace, document, run_stages

DOCUMENTS = 12


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for seed in range(DOCUMENTS):
        workspace.write(f"d{seed}.md", document(seed))
    return workspace


def checked(pipeline: Pipeline, stage: Stage, suites: Path | None) -> StageReport:
    """One stage of the latest snapshot, judged."""
    return check_quality(pipeline.context, stage, suites, pipeline.log.bases)


def reported(pipeline: Pipeline, suites: Path | None) -> QualityReport:
    """All stages of the latest snapshot, judged."""
    return quality_report(pipeline.context, suites, pipeline.log.bases)


def required(pipeline: Pipeline, suites: Path | None) -> None:
    """Refuses the latest snapshot where it does not meet an expectation."""
    require_quality(pipeline.context, suites, pipeline.log.bases)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages that Great Expectations was asked about, in order."""
    asked: list[str] = []
    original = judging.judge

    def counting(suite: Suite, tables: Any) -> Any:
        asked.append(suite.stage)
        return original(suite, tables)

    monkeypatch.setattr(judging, "judge", counting)
    return asked


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts were measured, batch by batch."""
    counted: list[int] = []
    original = measuring.measure

    def counting(texts: pl.DataFrame) -> pl.DataFrame:
        counted.append(texts.height)
        return original(texts)

    monkeypatch.setattr(measuring, "measure", counting)
    return counted


def made(workspace: Workspace) -> Pipeline:
    """The stages up to the vectors."""
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    return pipeline


def failures(report: StageReport) -> dict[str, str]:
    """Severity by column of what was not met."""
    return {column: result.severity for result in report.failed for column in result.columns}


def replanted(store: ContentStore, change: Callable[[pl.DataFrame], pl.DataFrame], key: str) -> None:
    """Put a row of a store back with a fault in it."""
    row = store.collect(pl.Series([key]))
    store.drop(pl.Series([key]))
    store.commit(change(row))


def embedding_keys(pipeline: Pipeline) -> list[str]:
    documents = pipeline.context.snapshots.readable(pipeline.context.snapshots.latest())
    rows = pipeline.context.chunks.collect(documents["text_key"], ("embedding_key",))
    return rows["embedding_key"].explode().to_list()


def test_a_sound_corpus_meets_every_expectation_of_severity_error(workspace: Workspace) -> None:
    report = reported(made(workspace), None)
    assert [stage.stage for stage in report.stages] == ["documents", "chunks", "embeddings"]
    assert report.passed
    numbers = {name: value for stage in report.stages for name, value in stage.numbers.items()}
    assert (numbers["documents"], numbers["chunks"]) == (DOCUMENTS, DOCUMENTS * 4)
    assert numbers["dimension"] == 256


def test_a_run_that_changes_nothing_judges_and_measures_nothing(
    workspace: Workspace, judged: list[str], measured: list[int]
) -> None:
    first = reported(made(workspace), None)
    assert (judged, sum(measured)) == (["documents", "chunks", "embeddings"], DOCUMENTS)
    assert reported(made(workspace), None) == first
    assert len(judged) == 3


def test_publishing_what_was_judged_leaves_the_verdict(workspace: Workspace, judged: list[str]) -> None:
    first = reported(made(workspace), None)
    pipeline, _ = workspace.pipeline()
    run_stages(pipeline)
    assert reported(pipeline, None) == first
    assert len(judged) == 3


def test_only_new_texts_are_measured(workspace: Workspace, measured: list[int]) -> None:
    reported(made(workspace), None)
    measured.clear()
    workspace.write("d0.md", document(100))
    workspace.write("copy-of-1.md", document(1))
    (workspace.documents / "d2.md").rename(workspace.documents / "moved.md")
    report = checked(made(workspace), "documents", None)
    assert sum(measured) == 1
    assert report.numbers["documents"] == DOCUMENTS + 1
    assert report.numbers["exact_duplicate_share"] == pytest.approx(2 / (DOCUMENTS + 1))


def test_an_edited_suite_is_judged_anew_from_the_profile_that_is_there(
    workspace: Workspace, judged: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = tmp_path / "quality"
    suites.mkdir()
    pipeline = made(workspace)
    assert checked(pipeline, "chunks", suites).passed
    (suites / "chunks.yaml").write_text(
        "- expectation: expect_column_values_to_be_between\n  severity: error\n"
        "  kwargs: {column: tokens_p50, max_value: 5}\n"
    )

    def never(*args: object, **kwargs: object) -> Iterator[pl.DataFrame]:
        raise AssertionError("the chunks were read again")

    monkeypatch.setattr(ContentStore, "get", never)
    report = checked(pipeline, "chunks", suites)
    assert failures(report) == {"tokens_p50": "error"}
    assert report.suite == str(suites / "chunks.yaml")
    assert judged == ["chunks", "chunks"]


def test_doubled_documents_are_reported_as_a_warning(workspace: Workspace) -> None:
    for seed in range(DOCUMENTS):
        workspace.write(f"mirror/d{seed}.md", document(seed))
    report = checked(made(workspace), "documents", None)
    assert report.numbers["exact_duplicate_share"] == 1
    assert failures(report) == {"near_duplicate_share": "warning"}
    assert report.passed


def test_a_language_shift_against_what_is_published_is_reported(workspace: Workspace) -> None:
    pipeline, _ = workspace.pipeline()
    run_stages(pipeline)
    for seed in range(DOCUMENTS):
        workspace.write(
            f"d{seed}.md", f"# Vertrag {seed}\n\n" + f"{GERMAN} Das gilt seit {1990 + seed}. " * 6
        )
    pipeline = made(workspace)
    report = checked(pipeline, "documents", None)
    assert report.compared_with == 1
    assert (report.numbers["main_language"], report.numbers["changed_share"]) == ("de", 1)
    assert {"language_drift", "length_drift"} <= failures(report).keys()
    moved = checked(pipeline, "embeddings", None)
    assert failures(moved)["centroid_shift"] == "warning"


def test_other_settings_are_no_drift(workspace: Workspace) -> None:
    pipeline, _ = workspace.pipeline()
    run_stages(pipeline)
    workspace.configure(chunking={"max_tokens": 32})
    pipeline = made(workspace)
    assert checked(pipeline, "chunks", None).compared_with is None
    assert checked(pipeline, "embeddings", None).compared_with is None


def test_a_document_without_chunks_in_the_store_fails_until_they_are_made(workspace: Workspace) -> None:
    pipeline = made(workspace)
    text = pipeline.context.snapshots.readable(pipeline.context.snapshots.latest())["text_key"][0]
    pipeline.context.chunks.drop(pl.Series([text]))
    broken = checked(pipeline, "chunks", None)
    assert failures(broken) == {"unchunked_documents": "error"}
    assert not broken.passed
    pipeline.chunks(everything=True)
    assert checked(pipeline, "chunks", None).passed


def test_a_chunk_without_a_vector_fails_until_it_is_embedded(workspace: Workspace) -> None:
    pipeline = made(workspace)
    pipeline.context.embeddings.drop(pl.Series(embedding_keys(pipeline)[:1]))
    assert failures(checked(pipeline, "embeddings", None)) == {"missing_vectors": "error"}
    pipeline.embeddings(everything=True)
    assert checked(pipeline, "embeddings", None).passed


def test_a_document_whose_text_is_gone_from_the_store_fails(workspace: Workspace) -> None:
    from rag_assets.ingest.parsing.batch import document_store

    pipeline = made(workspace)
    content = pipeline.context.snapshots.readable(pipeline.context.snapshots.latest())["content_key"][0]
    document_store(pipeline.objects, "markdown").drop(pl.Series([content]))
    assert failures(checked(pipeline, "documents", None)) == {"dangling_texts": "error"}


@pytest.mark.parametrize(("fault", "column"), [(float("nan"), "non_finite_vectors"), (0.0, "zero_vectors")])
def test_a_damaged_vector_fails(workspace: Workspace, fault: float, column: str) -> None:
    pipeline = made(workspace)
    broken = pl.Series([[fault] * 256], dtype=pl.List(pl.Float32))
    replanted(
        pipeline.context.embeddings, lambda row: row.with_columns(vector=broken), embedding_keys(pipeline)[3]
    )
    report = checked(pipeline, "embeddings", None)
    assert failures(report) == {column: "error"}
    assert report.numbers[column] == 1


def test_chunks_of_white_space_fail(workspace: Workspace) -> None:
    pipeline = made(workspace)
    keys = pipeline.context.snapshots.readable(pipeline.context.snapshots.latest())["text_key"]
    for key in keys:
        replanted(
            pipeline.context.chunks,
            lambda row: row.with_columns(
                text=pl.col("text").list.eval(pl.element().str.replace_all(".", " "))
            ),
            key,
        )
    report = checked(pipeline, "chunks", None)
    assert failures(report)["empty_chunks"] == "error"
    assert report.numbers["empty_chunks"] == DOCUMENTS * 4


def test_a_poisoned_chunk_is_counted_and_stops_nothing(workspace: Workspace) -> None:
    pipeline, _ = workspace.pipeline(poison="Paragraph 3-1")
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    report = checked(pipeline, "embeddings", None)
    assert (report.numbers["poisoned"], failures(report)) == (1, {"poisoned_share": "warning"})


def test_the_gold_set_is_held_against_the_corpus(workspace: Workspace) -> None:
    (workspace.path.parent / "gold.jsonl").write_text(
        '{"question": "What does section one say?", "documents": ["d1.md"]}\n'
        '{"question": "What did the lost document say?", "documents": ["lost.md"]}\n'
        '{"question": "Which paragraph comes first?", "passages": ["no document says anything like this at all"]}\n'
    )
    workspace.configure(evaluation={"gold": "gold.jsonl"})
    report = reported(made(workspace), None).stage("gold")
    assert report is not None and report.passed
    assert (report.numbers["dead_documents"], report.numbers["dead_passages"]) == (1, 1)
    assert {"dead_documents", "dead_passages", "questions"} <= failures(report).keys()


def test_the_share_of_a_language_can_be_demanded(workspace: Workspace, tmp_path: Path) -> None:
    suites = tmp_path / "quality"
    suites.mkdir()
    (suites / "documents.yaml").write_text(
        "- expectation: expect_column_values_to_be_between\n  severity: error\n"
        "  kwargs: {column: language_share_de, min_value: 0.1}\n"
    )
    report = checked(made(workspace), "documents", suites)
    assert (report.numbers["language_share_de"], failures(report)) == (0, {"language_share_de": "error"})


def test_what_fails_with_severity_error_is_refused_by_name(workspace: Workspace) -> None:
    pipeline = made(workspace)
    required(pipeline, None)
    pipeline.context.embeddings.drop(pl.Series(embedding_keys(pipeline)[:1]))
    pipeline.objects.delete([info.path for info in pipeline.objects.list("corpora/handbook/quality")])
    with pytest.raises(
        GateRefused, match=r"1 expectations:\n  embeddings: missing_vectors must be .* Found: 1\."
    ):
        required(pipeline, None)


def test_the_page_and_the_record_lie_side_by_side_in_the_store(workspace: Workspace) -> None:
    pipeline = made(workspace)
    reported(pipeline, None)
    files = QualityFiles(pipeline.objects, "handbook")
    snapshot = pipeline.context.snapshots.latest().digest
    page = pipeline.objects.get(files.page(snapshot)).decode()
    assert "<h2>Documents</h2>" in page and "<h2>Vectors</h2>" in page
    assert len(files.read_report(snapshot).stages) == 3


def test_a_damaged_record_is_made_anew(workspace: Workspace) -> None:
    pipeline = made(workspace)
    first = checked(pipeline, "chunks", None)
    for info in list(pipeline.objects.list("corpora/handbook/quality")):
        pipeline.objects.put(info.path, b"{half of a")
    assert checked(pipeline, "chunks", None).results == first.results


def test_a_mistake_in_a_suite_shows_before_anything_is_computed(
    workspace: Workspace, tmp_path: Path, measured: list[int]
) -> None:
    suites = tmp_path / "quality"
    suites.mkdir()
    (suites / "documents.yaml").write_text("- expectation: expect_nothing\n")
    with pytest.raises(ConfigurationError, match=r"documents\.yaml:1: severity: missing"):
        checked(made(workspace), "documents", suites)
    assert measured == []


def test_quality_works_the_same_on_every_store(store_url: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, store_url)
    workspace.write("a.md", document(1))
    pipeline = made(workspace)
    assert reported(pipeline, None).passed
    assert reported(pipeline, None).passed
