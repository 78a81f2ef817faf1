"""The main commands: run, plan, parity, status, query, history, rollback, check, schema."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rag_assets.cli.common import (
    FAILED,
    REFUSED,
    WAIT_SECONDS,
    WRONG_USE,
    AsJson,
    CorpusName,
    Reason,
    Wait,
    check_gold,
    fail,
    interruptible,
    load,
    open_store,
    patience,
    print_json,
    readable,
    reported,
)
from rag_assets.corpus import json_schema, load_corpora
from rag_assets.errors import ConfigurationError
from rag_assets.settings import Settings

app = typer.Typer(
    name="rag-assets",
    help="CI/CD for a RAG index: raw documents to an evaluated, published LanceDB version.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class SearchMode(StrEnum):
    """Search modes of ``query``."""

    hybrid = "hybrid"
    vector = "vector"
    text = "text"


class EmbedderType(StrEnum):
    """Backends of ``parity``: those that compute with a model's files."""

    sentence_transformers = "sentence-transformers"
    vllm = "vllm"


@app.command()
def run(
    corpus: CorpusName,
    reason: Reason = "run",
    wait: Wait = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Bring a corpus from its sources to its publication; what is done already is not done again."""
    with interruptible() as interruption, reported():
        from rag_assets.cli.terminal import progress_bars, show_refusal, show_run
        from rag_assets.orchestration.run import run_corpus

        settings, found = load(corpus)
        check_gold(found)
        with progress_bars(quiet=as_json) as progress:
            outcome = run_corpus(
                found,
                settings.store,
                reason=reason,
                progress=progress,
                patience=patience(wait),
                interruption=interruption,
            )
        if outcome.cause == "refused":
            show_refusal(outcome, quiet=as_json)
        if as_json:
            print_json(outcome.summary)
        else:
            show_run(open_store(settings), found, outcome)
    if outcome.error is not None:
        if outcome.cause != "refused":
            fail(outcome.error)
        raise typer.Exit({"refused": REFUSED, "configuration": WRONG_USE}.get(outcome.cause or "", FAILED))


@app.command()
def plan(
    corpus: CorpusName,
    tokens_per_second: Annotated[
        float | None,
        typer.Option(
            min=1, help="Speed of the hardware to plan for. Default: as the embedder was measured last."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run would parse, chunk and embed, how long that would take and what it would cost. Changes nothing."""
    from dataclasses import asdict

    from rag_assets.cli.terminal import progress_bars, show_plan
    from rag_assets.pipeline.plan import plan as make_plan

    with reported():
        settings, found = load(corpus)
        check_gold(found)
        with progress_bars(quiet=as_json) as progress:
            planned = make_plan(open_store(settings), found, progress, tokens_per_second=tokens_per_second)
        if as_json:
            print_json(asdict(planned))
        else:
            show_plan(planned)


@app.command()
def parity(
    corpus: CorpusName,
    other: Annotated[
        EmbedderType, typer.Option("--with", help="Backend whose vectors the corpus's own are to count as.")
    ] = EmbedderType.sentence_transformers,
    as_json: AsJson = False,
) -> None:
    """Measure whether the corpus's embedder gives the vectors of another backend, and if so let both share them."""
    from dataclasses import asdict

    from rag_assets.cli.terminal import show_parity
    from rag_assets.ingest.context import IngestContext
    from rag_assets.ingest.parity import measure_parity

    with reported():
        settings, found = load(corpus)
        same = found.embedder.model_dump(exclude={"type", "endpoint", "vllm"})
        target = type(found.embedder).model_validate({**same, "type": other.value})
        agreement = measure_parity(IngestContext(open_store(settings), found), target)
        if as_json:
            print_json({**asdict(agreement), "problem": agreement.problem})
        else:
            show_parity(found.name, other.value, agreement)
    if agreement.problem is not None:
        raise typer.Exit(FAILED)


@app.command()
def status(corpus: CorpusName, as_json: AsJson = False) -> None:
    """Show what readers see and what the last run did."""
    from rag_assets.cli.terminal import show_status
    from rag_assets.pipeline.status import status as read_status

    with reported():
        settings, found = load(corpus)
        state = read_status(open_store(settings), found)
        if as_json:
            print_json(state)
        else:
            show_status(open_store(settings), state)


@app.command()
def query(
    corpus: CorpusName,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The question.", callback=readable)],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Hits, at most.")] = 5,
    mode: Annotated[SearchMode, typer.Option(help="How to search.")] = SearchMode.hybrid,
    where: Annotated[
        str | None,
        # As it was given: a condition with another character is another condition.
        typer.Option(help="SQL condition on the table's columns, e.g. \"tenant = 'a'\"."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search what is published."""
    from rag_assets.cli.terminal import show_hits
    from rag_assets.publication.reader import open_published

    if not text.strip():
        raise typer.BadParameter("the question is empty", param_hint="TEXT")
    with reported():
        settings, found = load(corpus)
        hits = open_published(found.name, settings.store).search(text, k, mode.value, where)
        if as_json:
            fields = ("document_id", "chunk_id", "text", "score", "heading_path", "title", "uri")
            print_json([{name: getattr(hit, name) for name in fields} for hit in hits])
        else:
            show_hits(hits)


@app.command()
def history(corpus: CorpusName, as_json: AsJson = False) -> None:
    """List all publications and what was refused in between, oldest first."""
    from rag_assets.cli.terminal import show_history
    from rag_assets.pipeline.status import history as read_history
    from rag_assets.publication.log import PublicationLog

    with reported():
        settings, found = load(corpus)
        objects = open_store(settings)
        entries = read_history(objects, found.name)
        if as_json:
            print_json(entries)
        else:
            show_history(objects, entries, set(PublicationLog(objects, found.name).versions()))


@app.command()
def rollback(
    corpus: CorpusName,
    to: Annotated[
        int | None, typer.Option(min=1, help="Publication to go to; default: the one before the newest.")
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Make another retained publication what readers see; atomic, like a publish."""
    from rag_assets.cli.terminal import say
    from rag_assets.pipeline.status import history_entry
    from rag_assets.publication.publish import rollback as roll_back

    with reported():
        settings, found = load(corpus)
        publication = roll_back(open_store(settings), found.name, to, reason=reason, by=settings.by)
        if as_json:
            print_json(history_entry(publication))
        else:
            say(
                f"{found.name}: publication {publication.number} is what readers see now "
                f"(version {publication.version}: {publication.reason})"
            )


@app.command()
def check(as_json: AsJson = False) -> None:
    """Validate all corpus files, their gold sets and RAG_EXECUTOR."""
    from rag_assets.cli.terminal import say
    from rag_assets.evaluation.gold import load_gold
    from rag_assets.pipeline.readiness import missing_here
    from rag_assets.quality import load_suites
    from rag_assets.quality.judge import check_suite
    from rag_assets.quality.suite import BUILT_IN

    with reported():
        settings = Settings()
        folder = settings.corpora
        corpora = load_corpora(folder)
        if not corpora:
            raise ConfigurationError(f"{folder}: there are no corpus files (*.yaml)")
        if "executor" in settings.model_fields_set:  # importing Dagster takes a second
            from rag_assets.orchestration.executors import open_executor

            open_executor(settings.executor)
        for corpus in corpora.values():
            if corpus.quality is not None:
                for suite in load_suites(corpus.suites_path).values():
                    if suite.origin != BUILT_IN:
                        check_suite(suite)
        questions = {
            name: len(load_gold(corpus.gold_path).questions) if corpus.gold_path else 0
            for name, corpus in corpora.items()
        }
        warnings = {name: missing_here(corpus) for name, corpus in corpora.items()}
        if as_json:
            print_json(
                [
                    {"corpus": name, "questions": count, "warnings": warnings[name]}
                    for name, count in questions.items()
                ]
            )
            return
        for name, count in questions.items():
            say(f"{folder / name}.yaml: valid, {count} gold questions")
            for warning in warnings[name]:
                say(f"  warning: {warning}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a corpus file; editors complete and check with it."""
    print_json(json_schema())
