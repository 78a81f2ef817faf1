"""What events ask for: events in, small actions out. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rag_assets import corpus as models
from rag_assets.events.inbox.event import Brought, Received
from rag_assets.ingest.parsing.formats import extension_of
from rag_assets.ingest.sources.push import can_hold, why_no_place
from rag_assets.store.erasures import Demand, Mark


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
    """Mark a document as erased. ``lifted``: a new one has taken its place already."""

    document: str
    demand: Demand
    lifted: bool


@dataclass(frozen=True, slots=True)
class Lift:
    """If the event of a row succeeds, a new document takes the place of an erased one."""

    document: str
    number: int


@dataclass(frozen=True, slots=True)
class Look:
    """A source holds the document; look at it again."""

    document: str
    number: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """An event that can have no effect, and why."""

    number: int
    reason: str


NOT_CREATED = "the document is erased; document.created puts a new one in its place"
"""Why an update has no effect. When the creation comes, the update is tried again."""
Action = Put | Delete | Erase | Lift | Look | Refuse


def decide(
    batch: Sequence[Received],
    marks: Mapping[str, Mark],
    brought: Mapping[str, Brought],
    sources: Sequence[models.Source],
    snapshot: int,
) -> Iterator[Action]:
    """What a batch of events asks for.

    What counts is the sender's time: of a document's events only those after its last erasure have
    an effect, and of those only a creation, or what follows one, ends the erasure.

    Args:
        batch: events, each newer than every other event of its document but erasures.
        marks: documents that were erased before.
        brought: when documents were created last, this batch included, and applied last.
        sources: of the corpus file.
        snapshot: number of the latest one.
    """
    last = _last_erasures(batch, marks)
    gone = {document for document, occurred in last.items() if not _recreated(marks.get(document), occurred)}
    prefixes = [source.prefix for source in sources if isinstance(source, models.PushSource)]
    for received in batch:
        change = received.change
        document = change.document
        push = [prefix for prefix in prefixes if can_hold(prefix, document)]
        erased = last.get(document)
        known = brought.get(document, Brought(None, None))
        created = erased is None or (known.created is not None and known.created > erased)
        match change.kind:
            case "erase":
                assert erased is not None, "by this event, at least"
                if change.occurred < erased or _recreated(marks.get(document), change.occurred):
                    continue  # a later one counts, or a new document took the place after this one
                stands = created and known.applied is not None and known.applied > erased
                # A new document that is in a snapshot already was in none before that.
                old = snapshot if not stands or known.snapshot is None else known.snapshot - 1
                yield Erase(document, Demand(change.event, change.occurred, old), lifted=stands)
                if not stands:
                    yield from (Delete(prefix, document) for prefix in push)
            case "deleted" if erased is not None and change.occurred <= erased:
                pass  # the erasure did it, and what may be there now is newer
            case "deleted":
                yield from (Delete(prefix, document) for prefix in push)
            case _ if erased is not None and change.occurred <= erased:
                yield Refuse(received.number, "the document was erased after this event")
            case _ if document in gone and not created:
                yield Refuse(received.number, NOT_CREATED)
            case _:
                yield _bring(received, prefixes)
                if document in gone:
                    yield Lift(document, received.number)


def _recreated(mark: Mark | None, erased: datetime) -> bool:
    """Whether a new document took the place after an erasure of that time."""
    return mark is not None and mark.lifted and mark.occurred >= erased


def _last_erasures(batch: Iterable[Received], marks: Mapping[str, Mark]) -> dict[str, datetime]:
    last = {document: mark.occurred for document, mark in marks.items()}
    for received in batch:
        change = received.change
        if change.kind == "erase":
            last[change.document] = max(last.get(change.document, change.occurred), change.occurred)
    return last


def _bring(received: Received, prefixes: Sequence[str]) -> Put | Look | Refuse:
    """What a created or updated document asks for. ``prefixes``: of all push sources."""
    change = received.change
    if change.content is None:
        return Look(change.document, received.number)
    push = [prefix for prefix in prefixes if can_hold(prefix, change.document)]
    if not push:
        meant = max((one for one in prefixes if change.document.startswith(one)), key=len, default=None)
        if meant is None:
            taken = " or ".join(map(repr, prefixes)) or "nothing, for the corpus has none"
            why = f"sources of type push take ids that begin with {taken}; this one does not fit"
        else:
            why = f"the document id has no place in its source: {why_no_place(meant, change.document)}"
        return Refuse(received.number, why)
    extension = extension_of(change.document, change.content_type)
    if extension is None:
        return Refuse(received.number, f"no parser for {change.content_type or 'a document of this name'}")
    return Put(max(push, key=len), change.document, change.content, extension, received.number)
