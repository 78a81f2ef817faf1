"""``rag-assets quality``: hold the latest snapshot against its suites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag_assets.cli.common import FAILED, AsJson, CorpusName, load, open_store, print_json, reported, writing


def quality(
    corpus: CorpusName,
    copy_suites: Annotated[
        Path | None,
        typer.Option(
            help="Write the built-in suites into this folder, to be edited, and stop. Files there stay."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge documents, chunks, vectors and gold questions of the last run. Publishes nothing."""
    from rag_assets.cli.terminal import say
    from rag_assets.pipeline.pipeline import Pipeline
    from rag_assets.quality.stage import page_of, quality_report
    from rag_assets.quality.suite import copy_built_in

    with reported():
        settings, found = load(corpus)
        if copy_suites is not None:
            with writing(copy_suites):
                written = copy_built_in(copy_suites)
            for path in written:
                say(f"{path}: written")
            return
        pipeline = Pipeline(open_store(settings), found, run_id="quality")
        report = quality_report(pipeline.context, found.suites_path, pipeline.log.bases)
        if as_json:
            print_json(report.model_dump(mode="json"))
        else:
            for stage in report.stages:
                met = sum(result.passed for result in stage.results)
                say(f"{stage.stage}: {met} of {len(stage.results)} expectations are met")
                for result in stage.failed:
                    say(f"  {result.severity}: {result.sentence}")
            say(f"Report  {page_of(pipeline.context)}")
    if not report.passed:
        raise typer.Exit(FAILED)
