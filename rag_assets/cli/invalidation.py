"""``rag-assets invalidation``: what caches were told, telling them now, and what was given up."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.common import FAILED, AsJson, CorpusName, load, open_store, print_json, readable, reported
from rag_assets.corpus import Corpus
from rag_assets.errors import ConfigurationError

if TYPE_CHECKING:
    from rag_assets.invalidation.telling import Outcome

app = typer.Typer(help="Caches: what they were told, and telling them what to forget.", no_args_is_help=True)


@app.command()
def status(corpus: CorpusName, as_json: AsJson = False) -> None:
    """Show what each target was told, what it is due, and what was given up."""
    from rag_assets.cli.terminal import show_targets
    from rag_assets.invalidation.status import status as read_status

    with reported():
        settings, found = load(corpus)
        _check_targets(found)
        targets = read_status(open_store(settings), found)
        if as_json:
            print_json([asdict(target) for target in targets])
        else:
            show_targets(found.name, targets)


@app.command()
def deliver(corpus: CorpusName, as_json: AsJson = False) -> None:
    """Tell every target what it has not been told; one that failed is left alone until its pause is over."""
    from rag_assets.invalidation.deliver import deliver as tell

    with reported():
        settings, found = load(corpus)
        _check_targets(found)
        _finish(found.name, tell(open_store(settings), found), as_json)


@app.command()
def retry(
    corpus: CorpusName,
    target: Annotated[
        str | None, typer.Option(help="Only this target; default: all.", callback=readable)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell at once, and also what was given up: as one notice up to what readers see now."""
    from rag_assets.invalidation.deliver import retry as tell_again

    with reported():
        settings, found = load(corpus)
        _check_targets(found)
        _finish(found.name, tell_again(open_store(settings), found, target=target), as_json)


def _check_targets(corpus: Corpus) -> None:
    if corpus.invalidation is None:
        raise ConfigurationError(
            f"{corpus.name} has no invalidation targets: name them in invalidation.targets of its corpus file"
        )


def _finish(corpus: str, outcomes: list[Outcome], as_json: bool) -> None:
    from rag_assets.cli.terminal import say, show_outcomes

    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    else:
        show_outcomes(outcomes)
        if any(outcome.state == "dead" for outcome in outcomes):
            say(f"What was given up is told again by: rag-assets invalidation retry {corpus}")
    if any(outcome.state not in ("delivered", "up to date") for outcome in outcomes):
        raise typer.Exit(FAILED)
