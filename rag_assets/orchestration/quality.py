"""The check ``quality``: a stage held against its suite, in Dagster's words.

Annotations here are read by Dagster when an asset is defined, so they must not be postponed.
"""

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.declare import check_spec
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.quality import Stage, StageReport
from rag_assets.quality.stage import page_of

CHECK = "quality"
ASSET_OF: dict[Stage, str] = {
    "documents": "documents",
    "chunks": "chunks",
    "embeddings": "embeddings",
    "gold": "evaluation",
}
"""Where a stage's check stands. The gold set has no asset; it is judged before a candidate is measured with it."""


def quality_specs(corpus: Corpus, stage: Stage) -> list[dg.AssetCheckSpec]:
    """The stage's check; none where the corpus file does not ask for it."""
    if corpus.quality is None or (stage == "gold" and corpus.gold_path is None):
        return []
    return [
        check_spec(CHECK, ASSET_OF[stage], corpus, f"The suite of the {stage}, judged by Great Expectations.")
    ]


def quality_results(pipeline: Pipeline, stage: Stage) -> list[dg.AssetCheckResult]:
    """What the stage's check found; none as for ``quality_specs``."""
    if not quality_specs(pipeline.corpus, stage):
        return []
    report = pipeline.quality(stage)
    return [
        dg.AssetCheckResult(
            check_name=CHECK,
            passed=not report.failed,
            # A blocking check that fails as a warning blocks nothing.
            severity=dg.AssetCheckSeverity.ERROR if report.errors else dg.AssetCheckSeverity.WARN,
            description="\n".join(f"{one.severity}: {one.sentence}" for one in report.failed) or None,
            metadata=_facts(pipeline, report),
        )
    ]


def _facts(pipeline: Pipeline, report: StageReport) -> dict[str, dg.MetadataValue]:
    results = [
        dg.TableRecord(
            {
                "passed": result.passed,
                "severity": result.severity,
                "expected": result.expected,
                "found": result.observed,
                "why": result.description,
            }
        )
        for result in (*report.failed, *(result for result in report.results if result.passed))
    ]
    figures = {name: value for name, value in report.numbers.items() if value is not None}
    return {
        "report": dg.MetadataValue.path(page_of(pipeline.context)),
        **({"results": dg.MetadataValue.table(results)} if results else {}),
        "suite": dg.MetadataValue.text(report.suite),
        "compared_with": dg.MetadataValue.int(report.compared_with or 0),
        "figures": dg.MetadataValue.json(figures),
    }
