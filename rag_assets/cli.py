"""The command line: ``rag-assets run handbook``.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 refused by the gate. ``--json``
prints one JSON value on standard output and nothing else there; progress goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.allocator import return_memory
from rag_assets.corpus import Corpus, json_schema, load_corpora, load_corpus
from rag_assets.errors import ConfigurationError, GateRefused, GoldSetError, RagAssetsError
from rag_assets.settings import Settings

if TYPE_CHECKING:
    from rag_assets.store.objects import ObjectStore

FAILED, WRONG_USE, REFUSED = 1, 2, 3

app = typer.Typer(
    name="rag-assets",
    help="CI/CD for a RAG index: raw documents to an evaluated, published LanceDB version.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

CorpusName = Annotated[str, typer.Argument(metavar="CORPUS", help="Name of a corpus file, without .yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class SearchMode(StrEnum):
    """Search modes of ``query``."""

    hybrid = "hybrid"
    vector = "vector"
    text = "text"


@app.command()
def run(
    corpus: CorpusName,
    reason: Annotated[str, typer.Option(help="Why, for the publication log.")] = "run",
    as_json: AsJson = False,
) -> None:
    """Bring a corpus from its sources to its publication; what is done already is not done again."""
    from rag_assets.orchestration.run import run_corpus
    from rag_assets.terminal import progress_bars, show_run

    with _reported():
        settings, found = _load(corpus)
        _check_gold(found)
        with progress_bars(quiet=as_json) as progress:
            outcome = run_corpus(found, settings.store, reason=reason, progress=progress)
        if as_json:
            _print(outcome.summary)
        else:
            show_run(_store(settings), found, outcome)
    if outcome.error is not None:
        _fail(outcome.error)
        raise typer.Exit({"refused": REFUSED, "configuration": WRONG_USE}.get(outcome.cause or "", FAILED))


@app.command()
def plan(corpus: CorpusName, as_json: AsJson = False) -> None:
    """Show what a run would parse, chunk and embed, and how long that would take. Changes nothing."""
    from dataclasses import asdict

    from rag_assets.pipeline.plan import plan as make_plan
    from rag_assets.terminal import progress_bars, show_plan

    with _reported():
        settings, found = _load(corpus)
        _check_gold(found)
        with progress_bars(quiet=as_json) as progress:
            planned = make_plan(_store(settings), found, progress)
        if as_json:
            _print(asdict(planned))
        else:
            show_plan(planned)


@app.command()
def status(corpus: CorpusName, as_json: AsJson = False) -> None:
    """Show what readers see and what the last run did."""
    from rag_assets.pipeline.status import status as read_status
    from rag_assets.terminal import show_status

    with _reported():
        settings, found = _load(corpus)
        state = read_status(_store(settings), found)
        if as_json:
            _print(state)
        else:
            show_status(_store(settings), state)


@app.command()
def query(
    corpus: CorpusName,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The question.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Hits, at most.")] = 5,
    mode: Annotated[SearchMode, typer.Option(help="How to search.")] = SearchMode.hybrid,
    where: Annotated[
        str | None, typer.Option(help="SQL condition on the table's columns, e.g. \"tenant = 'a'\".")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search what is published."""
    from rag_assets.publication.reader import open_published
    from rag_assets.terminal import show_hits

    if not text.strip():
        raise typer.BadParameter("the question is empty", param_hint="TEXT")
    with _reported():
        settings, found = _load(corpus)
        hits = open_published(found.name, settings.store).search(text, k, mode.value, where)
        if as_json:
            fields = ("document_id", "chunk_id", "text", "score", "heading_path", "title", "uri")
            _print([{name: getattr(hit, name) for name in fields} for hit in hits])
        else:
            show_hits(hits)


@app.command()
def history(corpus: CorpusName, as_json: AsJson = False) -> None:
    """List all publications, oldest first."""
    from rag_assets.pipeline.status import history_entry
    from rag_assets.publication.log import PublicationLog
    from rag_assets.terminal import show_history

    with _reported():
        settings, found = _load(corpus)
        log = PublicationLog(_store(settings), found.name)
        entries = [history_entry(publication) for publication in log.history()]
        if as_json:
            _print(entries)
        else:
            show_history(entries, set(log.versions()))


@app.command()
def rollback(
    corpus: CorpusName,
    to: Annotated[
        int | None, typer.Option(min=1, help="Publication to go to; default: the one before the newest.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the publication log.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make another retained publication what readers see; atomic, like a publish."""
    from rag_assets.pipeline.status import history_entry
    from rag_assets.publication.publish import rollback as roll_back
    from rag_assets.terminal import say

    with _reported():
        settings, found = _load(corpus)
        publication = roll_back(_store(settings), found.name, to, reason=reason, by=settings.by)
        if as_json:
            _print(history_entry(publication))
        else:
            say(
                f"{found.name}: publication {publication.number} is what readers see now "
                f"(version {publication.version}: {publication.reason})"
            )


@app.command()
def check(as_json: AsJson = False) -> None:
    """Validate all corpus files and their gold sets."""
    from rag_assets.evaluation.gold import load_gold
    from rag_assets.terminal import say

    with _reported():
        folder = Settings().corpora
        corpora = load_corpora(folder)
        if not corpora:
            raise ConfigurationError(f"{folder}: there are no corpus files (*.yaml)")
        questions = {
            name: len(load_gold(corpus.gold_path).questions) if corpus.gold_path else 0
            for name, corpus in corpora.items()
        }
        if as_json:
            _print([{"corpus": name, "questions": count} for name, count in questions.items()])
            return
        for name, count in questions.items():
            say(f"{folder / name}.yaml: valid, {count} gold questions")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a corpus file; editors complete and check with it."""
    _print(json_schema())


def main() -> None:
    """Entry point of ``rag-assets``."""
    return_memory()
    # Telemetry is off unless a user turned it on.
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    app()


def _load(name: str) -> tuple[Settings, Corpus]:
    settings = Settings()
    known = {path.stem: path for path in sorted(settings.corpora.glob("*.yaml"))}
    if name not in known:  # a path is no name, even if it leads to a corpus file
        names = ", ".join(known) or "none"
        raise ConfigurationError(f"no corpus {name!r} in {settings.corpora}; there are: {names}")
    return settings, load_corpus(known[name])


def _check_gold(corpus: Corpus) -> None:
    """A broken gold set shows before the work, not after it."""
    from rag_assets.evaluation.gold import load_gold

    if corpus.gold_path is not None:
        load_gold(corpus.gold_path)


def _store(settings: Settings) -> ObjectStore:
    from rag_assets.store.objects import ObjectStore

    return ObjectStore.open(settings.store)


def _print(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _fail(message: str) -> None:
    from rag_assets.terminal import complain

    complain(message)


@contextmanager
def _reported() -> Iterator[None]:
    """Errors of this package as one message and the right exit code; others are bugs and keep their trace."""
    try:
        yield
    except GateRefused as error:
        _fail(str(error))
        raise typer.Exit(REFUSED) from error
    except (ConfigurationError, GoldSetError) as error:
        _fail(str(error))
        raise typer.Exit(WRONG_USE) from error
    except RagAssetsError as error:
        _fail(str(error))
        raise typer.Exit(FAILED) from error
