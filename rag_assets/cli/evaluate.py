"""``rag-assets evaluate``: build and measure a candidate, decide, publish nothing. For CI."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.common import (
    FAILED,
    REFUSED,
    WAIT_SECONDS,
    WRONG_USE,
    AsJson,
    CorpusName,
    Wait,
    check_gold,
    fail,
    interruptible,
    load,
    open_store,
    patience,
    print_json,
    reported,
    writing,
)
from rag_assets.errors import ConfigurationError, RagAssetsError

if TYPE_CHECKING:
    from rag_assets.evaluation.report.report import Report
    from rag_assets.orchestration.run import RunOutcome


class Against(StrEnum):
    """What a candidate is compared with."""

    published = "published"


def evaluate(
    corpus: CorpusName,
    against: Annotated[
        Against, typer.Option(help="What the candidate is compared with.")
    ] = Against.published,
    fail_on_regression: Annotated[
        bool,
        typer.Option(
            "--fail-on-regression", help="Fail when a metric or a slice is worse than published beyond noise."
        ),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict as JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option(help="Copy the report page to this file.")] = None,
    wait: Wait = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Build the candidate of the present corpus file, ask it the gold questions, and decide; publish nothing."""
    from rag_assets.cli.terminal import progress_bars, show_evaluation, show_quarantined, show_refusal
    from rag_assets.evaluation.report.files import PAGE_FILE, page_of
    from rag_assets.evaluation.report.junit import junit as as_junit
    from rag_assets.evaluation.report.junit import junit_error
    from rag_assets.evaluation.report.regression import regressions_of, unchecked
    from rag_assets.orchestration.run import run_corpus

    with interruptible() as interruption, reported():
        for path in (junit, html):
            _check_writable(path)
        try:
            settings, found = load(corpus)
            if found.gold_path is None:
                raise ConfigurationError(
                    f"{corpus} has no gold set, so that nothing can be measured: name one in evaluation.gold of its "
                    f"corpus file; then rag-assets gold propose {corpus} drafts questions"
                )
            check_gold(found)
            with progress_bars(quiet=as_json) as progress:
                outcome = run_corpus(
                    found,
                    settings.store,
                    reason="evaluate",
                    progress=progress,
                    publish=False,
                    patience=patience(wait),
                    interruption=interruption,
                )
            objects = open_store(settings)
            report = outcome.report
        except RagAssetsError as error:  # CI reads the file, whatever happened
            _write(junit, junit_error(corpus, str(error)))
            raise
        stopped = _stopped(corpus, outcome, report)
        regressions = regressions_of(report) if report and fail_on_regression else []
        place = outcome.summary["report"]
        if junit is not None:
            verdict = (
                junit_error(corpus, stopped or "there is no report")
                if report is None
                else as_junit(report, fail_on_regression=fail_on_regression, error=stopped)
            )
            _write(junit, verdict)
        if html is not None and report is not None:
            _write(html, page_of(objects, place, report))
        if outcome.cause == "refused":
            show_refusal(outcome, quiet=as_json)
        if as_json:
            summary = {name: value for name, value in outcome.summary.items() if name != "published"}
            told = unchecked(report) if report else None
            print_json({**summary, "against": against.value, "regressions": regressions, "unchecked": told})
        elif report is not None:
            show_quarantined(corpus, outcome.summary)
            show_evaluation(report, objects.uri(f"{place}/{PAGE_FILE}"))
    if outcome.error is not None:
        if outcome.cause != "refused":
            fail(outcome.error)
        raise typer.Exit({"refused": REFUSED, "configuration": WRONG_USE}.get(outcome.cause or "", FAILED))
    if stopped is not None:
        fail(stopped)
        raise typer.Exit(FAILED)
    if regressions:
        count = "1 regression" if len(regressions) == 1 else f"{len(regressions)} regressions"
        fail(f"{corpus}: {count} against what is published, and --fail-on-regression forbids any")
        raise typer.Exit(REFUSED)


def _check_writable(path: Path | None) -> None:
    """A file that cannot be written shows before the work, not after it."""
    if path is None:
        return
    with writing(path):
        folder = path.resolve().parent
        good = not path.is_dir() and folder.is_dir() and os.access(path if path.exists() else folder, os.W_OK)
    if not good:
        raise ConfigurationError(
            f"{path.absolute()} cannot be written; allowed: a file in a folder that exists"
        )


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        with writing(path):
            path.write_text(text, encoding="utf-8")


def _stopped(corpus: str, outcome: RunOutcome, report: Report | None) -> str | None:
    """Why what was measured does not count; None when it does, also where the gate refused it."""
    if outcome.summary["candidate"] == "held":
        return (
            f"{corpus}: a rollback took back what the present documents and corpus file give, so that no candidate was "
            "built and what is published was measured; change one of them, or roll forward"
        )
    return outcome.error if report is None or report.verdict.passed else None
