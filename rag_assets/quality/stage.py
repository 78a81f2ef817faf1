"""Judge what a stage made: its profile, its drift from what is published and its suite → a report.

A verdict is made once for each profile, baseline and suite. What is there already costs a look at the
report, and Great Expectations is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from rag_assets.errors import GateRefused
from rag_assets.index.base import Base
from rag_assets.index.candidate import Spec
from rag_assets.ingest.context import IngestContext
from rag_assets.quality import STAGES, Profile, QualityReport, Stage, StageReport, Suite, load_suite
from rag_assets.quality.drift import drift
from rag_assets.quality.files import QualityFiles
from rag_assets.quality.profile import Figure, share
from rag_assets.quality.stage_table import StageTable, is_complete
from rag_assets.quality.tables import LANGUAGE_SHARE
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost

Published = Callable[[], Iterable[Base]]
"""Gives what is published, newest first."""


def check_quality(
    context: IngestContext, stage: Stage, suites: Path | None, published: Published
) -> StageReport:
    """Judge one stage of the latest snapshot, unless that is done already.

    Args:
        context: whose stores hold the rows.
        stage: documents, chunks and embeddings once they are made; gold whenever there is a gold set.
        suites: folder with the corpus's own suites; None for the built-in ones.
        published: what drift is measured against.

    Raises:
        ConfigurationError: the extra ``quality`` is not installed, or a suite has mistakes.
        GoldSetError: the gold set has mistakes.
    """
    suite = load_suite(stage, suites)
    files = QualityFiles(context.objects, context.corpus.name)
    now = StageTable(context, stage, context.snapshots.latest())
    then = _published(now, published)
    report = files.read_report(now.snapshot.digest)
    known = report.stage(stage)
    basis = (now.key, suite.digest, then.key if then else None)
    if known is not None and known.complete and known.basis == basis:
        return known
    judged = _judge(files, suite, now, then)
    files.write_report(now.snapshot.digest, report.with_stage(judged))
    return judged


def quality_report(context: IngestContext, suites: Path | None, published: Published) -> QualityReport:
    """Judge all stages of the latest snapshot; the gold set only if the corpus has one. Arguments as above."""
    for stage in STAGES:
        if stage != "gold" or context.corpus.gold_path is not None:
            check_quality(context, stage, suites, published)
    files = QualityFiles(context.objects, context.corpus.name)
    return files.read_report(context.snapshots.latest().digest)


def require_quality(context: IngestContext, suites: Path | None, published: Published) -> None:
    """Raise GateRefused naming the expectations of severity error that the latest snapshot does not meet."""
    errors = [
        result for stage in quality_report(context, suites, published).stages for result in stage.errors
    ]
    if errors:
        named = "".join(f"\n  {result.stage}: {result.sentence}" for result in errors)
        raise GateRefused(f"{context.corpus.name}: the data does not meet {len(errors)} expectations:{named}")


def page_of(context: IngestContext) -> str:
    """Where the report on the latest snapshot lies, as a path or URL."""
    files = QualityFiles(context.objects, context.corpus.name)
    return context.objects.uri(files.page(context.snapshots.latest().digest))


def _published(now: StageTable, published: Published) -> StageTable | None:
    """The table that drift is measured against: the newest published one that differs, made under the same settings."""
    if now.stage == "gold":
        return None
    for base in published():
        if not _same_settings(now, base.spec):
            return None
        snapshot = now.context.snapshots.find(base.snapshot, base.spec.snapshot)
        if snapshot is None:
            continue
        then = StageTable(now.context, now.stage, snapshot, base.number)
        # What was judged may be published by now; then it is compared with what was published before.
        if then.key != now.key:
            return then
    return None


def _same_settings(now: StageTable, spec: Spec) -> bool:
    """Whether two tables differ in their documents only."""
    chunker = now.stage == "documents" or spec.chunker == now.context.chunker.fingerprint
    return chunker and (now.stage != "embeddings" or spec.embedder == now.context.vectors)


def _judge(files: QualityFiles, suite: Suite, now: StageTable, then: StageTable | None) -> StageReport:
    from rag_assets.quality.judge import judge

    profile, sample = now.profile(files)
    baseline, found = None, dict[str, Figure]()
    if then is not None:
        try:
            baseline, _ = then.profile(files)
            changes = now.context.snapshots.changes(then.snapshot, now.snapshot)
            found = drift(profile, baseline, dict(changes.group_by("change").len().iter_rows()))
        except ObjectLost as error:
            warn(f"{error}. Drift from publication {then.publication} is not measured")
    if baseline is not None and not is_complete(baseline):
        baseline, found = None, {}  # texts, chunks or vectors of it were lost: it says nothing any more
    columns = suite.columns("profile")
    row = profile.row(columns, found | _language_shares(profile, columns))
    return StageReport(
        stage=now.stage,
        snapshot=now.snapshot.number,
        profile_key=now.key,
        suite=suite.origin,
        suite_digest=suite.digest,
        compared_with=then.publication if then and baseline else None,
        baseline_key=then.key if then else None,
        created=datetime.now(UTC),
        complete=is_complete(profile),
        numbers=row,
        histograms=profile.histograms,
        baseline_histograms=baseline.histograms if baseline else {},
        results=judge(suite, {"profile": pl.DataFrame([row]), "sample": sample}),
    )


def _language_shares(profile: Profile, columns: list[str]) -> dict[str, Figure]:
    counts = profile.histograms.get("language", {})
    named = {column: match[1] for column in columns if (match := LANGUAGE_SHARE.fullmatch(column))}
    return {column: share(counts.get(code, 0), sum(counts.values())) for column, code in named.items()}
