"""``rag-assets inbox``: look at events, try dead ones again, or drop them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.common import FAILED, AsJson, CorpusName, fail, load, print_json, readable, reported
from rag_assets.settings import Settings

if TYPE_CHECKING:
    from rag_assets.events.inbox import Entry

app = typer.Typer(help="Events: list, show, retry, drop.", no_args_is_help=True)

EventId = Annotated[str, typer.Argument(metavar="EVENT", help="Id of the event.", callback=readable)]


class EventState(StrEnum):
    """States of ``inbox list``."""

    pending = "pending"
    applied = "applied"
    done = "done"
    superseded = "superseded"
    dead = "dead"
    dropped = "dropped"


@app.command("list")
def list_(
    corpus: Annotated[
        str | None, typer.Argument(metavar="[CORPUS]", help="Default: all corpora.", callback=readable)
    ] = None,
    state: Annotated[EventState | None, typer.Option(help="Only changes in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Changes, at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest changes that events announced, and what became of them."""
    from rag_assets.cli.terminal import show_entries
    from rag_assets.events.inbox import open_inbox

    with reported():
        settings = Settings() if corpus is None else load(corpus)[0]
        entries = open_inbox(settings).list(corpus, None if state is None else state.value, limit)
        if as_json:
            print_json([_as_json(entry) for entry in entries])
        else:
            show_entries(entries)


@app.command()
def show(corpus: CorpusName, event: EventId, as_json: AsJson = False) -> None:
    """Show everything about one event but the documents that it brought."""
    from rag_assets.cli.terminal import show_event
    from rag_assets.events.inbox import REMEMBERED, open_inbox

    with reported():
        settings, _ = load(corpus)
        entries = open_inbox(settings).find(corpus, event)
        if as_json:
            print_json([_as_json(entry) for entry in entries])
        elif entries:
            show_event(entries)
    if not entries:
        fail(
            f"{corpus} knows no event {event!r}: it never came, or it was done more than {REMEMBERED.days} days ago"
        )
        raise typer.Exit(FAILED)


@app.command()
def retry(corpus: CorpusName, event: EventId, as_json: AsJson = False) -> None:
    """Let runs try the dead changes of an event again."""
    from rag_assets.events.inbox import open_inbox

    with reported():
        settings, _ = load(corpus)
        count = open_inbox(settings).retry(corpus, event)
    _tell(corpus, event, count, "pending again", "dead", as_json)


@app.command()
def drop(
    corpus: CorpusName,
    event: EventId,
    reason: Annotated[str, typer.Option(help="Why, for the record.", callback=readable)] = "",
    as_json: AsJson = False,
) -> None:
    """Set the pending and dead changes of an event aside for good. Their record stays, their content goes."""
    from rag_assets.events.inbox import open_inbox

    with reported():
        settings, _ = load(corpus)
        told = f"{reason} ({settings.by})".strip()
        count = open_inbox(settings).drop(corpus, event, told)
    _tell(corpus, event, count, "dropped", "pending or dead", as_json)


def _tell(corpus: str, event: str, count: int, now: str, before: str, as_json: bool) -> None:
    from rag_assets.cli.terminal import say

    if as_json:
        print_json({"corpus": corpus, "event": event, "changes": count})
    elif count:
        say(f"{corpus}: {count} changes of {event} are {now}")
    if not count:
        fail(
            f"{corpus}: no change of {event!r} is {before}; rag-assets inbox show {corpus} {event!r} says what they are"
        )
        raise typer.Exit(FAILED)


def _as_json(entry: Entry) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(entry).items()
    }
