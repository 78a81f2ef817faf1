"""``rag-assets evaluate``: build and measure a candidate, decide, publish nothing. For CI."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rag_assets.cli.common import (
    FAILED,
    REFUSED,
    WRONG_USE,
    AsJson,
    CorpusName,
    check_gold,
    fail,
    load,
    open_store,
    print_json,
    reported,
)


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
    as_json: AsJson = False,
) -> None:
    """Build the candidate of the present corpus file, ask it the gold questions, and decide; publish nothing."""
    from rag_assets.evaluation.files import PAGE_FILE, read_report
    from rag_assets.evaluation.junit import junit as as_junit
    from rag_assets.evaluation.junit import regressions_of
    from rag_assets.orchestration.run import run_corpus
    from rag_assets.terminal import progress_bars, show_evaluation

    with reported():
        settings, found = load(corpus)
        check_gold(found)
        with progress_bars(quiet=as_json) as progress:
            outcome = run_corpus(found, settings.store, reason="evaluate", progress=progress, publish=False)
        objects = open_store(settings)
        path = outcome.summary["report"]
        written = read_report(objects, path) if path else None
        regressions = regressions_of(written[0]) if written and fail_on_regression else []
        if written is not None:
            if junit is not None:
                junit.write_text(
                    as_junit(written[0], fail_on_regression=fail_on_regression), encoding="utf-8"
                )
            if html is not None:
                html.write_bytes(objects.get(f"{path}/{PAGE_FILE}"))
        if as_json:
            summary = {name: value for name, value in outcome.summary.items() if name != "published"}
            print_json({**summary, "against": against.value, "regressions": regressions})
        elif written is not None:
            show_evaluation(written[0], objects.uri(f"{path}/{PAGE_FILE}"))
    for regression in regressions:
        fail(regression)
    if outcome.error is not None:
        fail(outcome.error)
        raise typer.Exit({"refused": REFUSED, "configuration": WRONG_USE}.get(outcome.cause or "", FAILED))
    if outcome.summary["candidate"] == "held":
        fail(
            f"{corpus}: a rollback took back what the present documents and corpus file give, so that no candidate was "
            "built and what is published was measured; change one of them, or roll forward"
        )
        raise typer.Exit(FAILED)
    if regressions:
        raise typer.Exit(REFUSED)
