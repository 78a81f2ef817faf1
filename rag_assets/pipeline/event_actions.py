"""What events ask for: events in, small actions out. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rag_assets import corpus as models
from rag_assets.inbox.event import Received
from rag_assets.parsing.formats import extension_of
from rag_assets.sources.push import can_hold
from rag_assets.store.erasures import Demand


@dataclass(frozen=True, slots=True)
class Put:
    """Keep the content that an event brought."""

    prefix: str
    document: str
    content: bytes
    extension: str
    number: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Let a pushed document go."""

    prefix: str
    document: str


@dataclass(frozen=True, slots=True)
class Erase:
    """Mark a document as erased."""

    document: str
    demand: Demand


@dataclass(frozen=True, slots=True)
class Lift:
    """A new document takes the place of an erased one."""

    document: str


@dataclass(frozen=True, slots=True)
class Look:
    """A source holds the document; look at it again."""

    document: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """An event that can have no effect, and why."""

    number: int
    reason: str


Action = Put | Delete | Erase | Lift | Look | Refuse


def decide(
    batch: Iterable[Received],
    erased: Mapping[str, datetime],
    recreated: Collection[str],
    sources: Sequence[models.Source],
) -> Iterator[Action]:
    """What a batch of events asks for.

    Args:
        batch: events, each newer than every other event of its document but erasures.
        erased: documents that are erased by now, and when that was demanded.
        recreated: documents that were created after their last erasure, by the sender's time.
        sources: of the corpus file.
    """
    gone = dict(erased)
    for received in batch:
        change = received.change
        document = change.document
        push = [
            source.prefix
            for source in sources
            if isinstance(source, models.PushSource) and can_hold(source.prefix, document)
        ]
        match change.kind:
            case "erase":
                yield Erase(document, Demand(change.event, change.occurred))
                if document in recreated:
                    yield Lift(document)
                else:
                    gone[document] = change.occurred
                    yield from (Delete(prefix, document) for prefix in push)
            case "deleted":
                yield from (Delete(prefix, document) for prefix in push)
            case "updated" if document in gone and document not in recreated:
                yield Refuse(
                    received.number, "the document is erased; document.created puts a new one in its place"
                )
            case "created" if document in gone and change.occurred <= gone[document]:
                yield Refuse(received.number, "the document was erased after this event")
            case _:
                outcome = _bring(received, push)
                if document in gone and not isinstance(outcome, Refuse):
                    del gone[document]
                    yield Lift(document)
                yield outcome


def _bring(received: Received, push: Sequence[str]) -> Put | Look | Refuse:
    """What a created or updated document asks for. ``push``: prefixes of the push sources that take it."""
    change = received.change
    if change.content is None:
        return Look(change.document)
    if not push:
        return Refuse(received.number, "no source of type push takes this document id")
    extension = extension_of(change.document, change.content_type)
    if extension is None:
        return Refuse(received.number, f"no parser for {change.content_type or 'a document of this name'}")
    return Put(max(push, key=len), change.document, change.content, extension, received.number)
