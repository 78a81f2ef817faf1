"""Apply events: what waits in the inbox → pushed documents and erasure marks → the next snapshot.

``apply_events`` takes batch after batch, carries out what ``event_actions.decide`` makes of them,
brings the snapshot up to the documents they name, and only then marks the events as applied.
Every action may be done again, so a run that is killed anywhere leaves events that are pending,
and the next run ends in the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from operator import add
from typing import TYPE_CHECKING

import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.errors import ConfigurationError, WorldError
from rag_assets.events.inbox.event import Brought, Received
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.parsing.batch import DocumentCounts, parse_ahead
from rag_assets.ingest.sources.open import open_sources
from rag_assets.ingest.sources.push import PushSource
from rag_assets.ingest.sources.source import Source
from rag_assets.invalidation.deliver import deliver
from rag_assets.pipeline.event_actions import NOT_CREATED, Delete, Erase, Lift, Look, Put, Refuse, decide
from rag_assets.publication.log import PublicationLog
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import QUARANTINED, Snapshot, SnapshotStore

if TYPE_CHECKING:
    from rag_assets.events.inbox import Inbox


@dataclass(slots=True)
class EventCounts:
    """What became of the events of one run."""

    taken: int = 0
    applied: int = 0
    erased: int = 0
    dead: int = 0
    absent: int = 0  # of those applied: deletions and erasures of documents that were not there


Update = Callable[[Collection[str] | None], tuple[Snapshot, DocumentCounts]]
"""Looks at some documents by id, or at all, and commits the next snapshot."""
_Done = tuple[Snapshot, DocumentCounts, EventCounts]
PARTS = 8
"""Into how many parts the events of a failed run are divided: five runs find one event among 4,000."""


def update_with_events(
    context: IngestContext, inbox: Inbox | None, run_id: str, update: Update, *, only_events: bool
) -> _Done:
    """Bring the snapshot up to the sources, and to the events that wait where there is an inbox.

    Args:
        context: the corpus.
        inbox: where events wait; None leaves them there.
        run_id: under which events are taken.
        update: brings the snapshot up to the sources.
        only_events: look only at the documents that events name, and list nothing.

    Raises:
        ConfigurationError: ``only_events`` without an inbox.
        InboxUnavailable, SnapshotConflict: as of ``apply_events``.
    """
    if inbox is not None:
        return apply_events(context, inbox, run_id, update, everything=not only_events)
    if only_events:
        raise ConfigurationError(f"{context.corpus.name}: set events, or run without only_events")
    return *update(None), EventCounts()


@dataclass(slots=True)
class _Run:
    """What the batches of one run have named so far."""

    documents: dict[str, list[int]] = field(default_factory=dict)  # id → rows of the events that name it
    brought: dict[str, int] = field(default_factory=dict)  # id → row of the event that created or updated it
    carried: dict[str, datetime] = field(default_factory=dict)  # id → when that event occurred
    referred: set[str] = field(default_factory=set)  # created or updated, and a source should hold it
    dead: dict[int, str] = field(default_factory=dict)
    erased: int = 0


def apply_events(
    context: IngestContext, inbox: Inbox, run_id: str, update: Update, *, everything: bool
) -> _Done:
    """Bring the snapshot up to the events that wait, and to the sources.

    Events that a failed run had taken are tried again in parts, each for itself and after all others, so that
    a few runs later the one to blame fails alone.

    Args:
        context: the corpus.
        inbox: where events wait.
        run_id: under which events are taken.
        update: brings the snapshot up to the sources.
        everything: list the sources whole; False looks only at the documents that events name.

    Returns:
        The snapshot that now holds, what was done with documents, and what with events.

    Raises:
        InboxUnavailable: its database did not answer, or another run applies events.
        SnapshotConflict: another run was faster.
    """
    name = context.corpus.name
    settings = context.corpus.events
    assert settings is not None, "there is an inbox where the corpus file has events"
    with inbox.exclusive(name):
        inbox.give_up(name, settings.max_attempts)
        try:
            # Suspects come last: what fails before them is not their fault, and counts for none of them.
            done = _apply(context, inbox, _fresh(inbox, name, run_id), update, everything)
            for suspects in inbox.suspects(name):
                size = -(-suspects.together // PARTS)
                while part := inbox.take(name, run_id, size, among=suspects):
                    done = _summed(done, _apply(context, inbox, [part], update, everything=False))
            return done
        except BaseException as error:
            if _is_blameless(error):
                inbox.release(name, run_id)
            raise


def _is_blameless(error: BaseException) -> bool:
    """Whether a run failed through no fault of its events: they wait until what is down is up again, or set right."""
    if isinstance(error, Exception):
        return isinstance(error, (WorldError, ConfigurationError))
    # An interrupt, by whatever name. A panic of a Rust library is no Exception either, and may be an event's fault.
    return type(error).__name__ != "PanicException"


def _fresh(inbox: Inbox, corpus: str, run_id: str) -> Iterator[Sequence[Received]]:
    """All events that no run has failed over, batch by batch."""
    while batch := inbox.take(corpus, run_id, among="fresh"):
        yield batch


def _apply(
    context: IngestContext,
    inbox: Inbox,
    batches: Iterable[Sequence[Received]],
    update: Update,
    everything: bool,
) -> _Done:
    name = context.corpus.name
    erasures = ErasureLog(context.objects, name)
    found, taken = _Run(), 0
    for batch in batches:
        taken += len(batch)
        _carry_out(context, inbox, erasures, batch, found)
    before = context.snapshots.latest()
    if not everything and not taken and before.number:
        return before, DocumentCounts(), EventCounts()
    snapshot, counts = update(None if everything else list(found.documents))
    found.dead.update(_without_effect(context, before, snapshot, found))
    _renew_marks(inbox, erasures, name, found)
    applied = [row for rows in found.documents.values() for row in rows if row not in found.dead]
    absent = _already_absent(context, before, found)
    if applied:
        # The inbox forgets at once on the disk, and what was pushed has no other copy.
        PublicationLog(context.objects, name).flush()
    inbox.applied(applied, snapshot.number, absent)
    inbox.dead(found.dead)
    return snapshot, counts, EventCounts(taken, len(applied), found.erased, len(found.dead), len(absent))


def _summed(one: _Done, other: _Done) -> _Done:
    """The later snapshot, and what was done for both."""
    documents = DocumentCounts(*map(add, astuple(one[1]), astuple(other[1])))
    return other[0], documents, EventCounts(*map(add, astuple(one[2]), astuple(other[2])))


def acknowledge(inbox: Inbox, objects: ObjectStore, corpus: str) -> int:
    """Mark the events as done whose effect is in what readers see. Returns how many.

    Snapshots follow one another, so a publication contains all events up to its snapshot; and up to
    the latest one where that reads the same.
    """
    head = PublicationLog(objects, corpus).head()
    if head is None:
        return 0
    snapshots = SnapshotStore(objects, corpus)
    latest = snapshots.latest()
    if latest.digest == head.spec.snapshot:
        return inbox.acknowledge(corpus, latest.number, head.number)
    if snapshots.find(head.snapshot, head.spec.snapshot) is None:
        return 0  # its record was lost, and its number may be another snapshot's by now
    return inbox.acknowledge(corpus, head.snapshot, head.number)


def _carry_out(
    context: IngestContext, inbox: Inbox, erasures: ErasureLog, batch: Sequence[Received], found: _Run
) -> None:
    named = [received.change.document for received in batch]
    corpus, snapshot = context.corpus.name, context.snapshots.latest().number
    brought = _with_carried(inbox.brought(corpus, named), found)
    actions = [*decide(batch, erasures.marks(), brought, context.corpus.sources, snapshot)]
    erase = {action.document: action for action in actions if isinstance(action, Erase)}
    lift = {action.number: action.document for action in actions if isinstance(action, Lift)}
    # Marked before anything else: whatever happens next, no run reads the document again.
    erasures.commit(
        {document: action.demand for document, action in erase.items()},
        [document for document, action in erase.items() if action.lifted],
    )
    gone = {document: action.demand.occurred for document, action in erase.items() if not action.lifted}
    inbox.undo(corpus, gone, NOT_CREATED)
    found.erased += len(erase)
    if any(received.change.kind == "erase" for received in batch):
        # Caches forget at once: the next publication may be long in coming, or be refused.
        deliver(context.objects, context.corpus)
    sources = {
        settings.prefix: source
        for settings, source in zip(
            context.corpus.sources, open_sources(context.corpus, context.objects), strict=True
        )
    }
    puts = [action for action in actions if isinstance(action, Put)]
    # What cannot be read does not take the place of what could.
    unreadable = parse_ahead(
        context.objects,
        context.corpus,
        [(action.document, action.extension, action.content) for action in puts],
    )
    for action in actions:
        match action:
            case Put():
                problem = unreadable.get(action.document) or _put(sources, action)
                if problem is not None:
                    found.dead[action.number] = problem
            case Delete():
                place = sources[action.prefix]
                assert isinstance(place, PushSource), "decided so"
                place.delete(action.document)
            case Look():
                if action.number in lift and all(
                    source.find(action.document) is None for source in sources.values()
                ):
                    found.dead[action.number] = _nowhere(context.corpus)
                found.referred.add(action.document)
            case Refuse():
                found.dead[action.number] = action.reason
    recreated = [document for number, document in lift.items() if number not in found.dead]
    erasures.commit({}, recreated)
    # Before the next batch is chosen: what is dead makes nothing void that comes later.
    inbox.dead(found.dead)
    inbox.revive(corpus, recreated, NOT_CREATED)
    for received in batch:
        change = received.change
        if received.number not in found.dead:
            found.documents.setdefault(change.document, []).append(received.number)
            if change.kind in ("created", "updated"):
                found.brought[change.document] = received.number
                found.carried[change.document] = change.occurred


def _put(sources: Mapping[str, Source], action: Put) -> str | None:
    """Keep what was pushed; or why not: another source holds a document of this id, and ids are unique."""
    for prefix, source in sources.items():
        if prefix == action.prefix or source.find(action.document) is None:
            continue
        if not isinstance(source, PushSource):
            return f"the source with the prefix {prefix!r} holds a document of this id, too"
        source.delete(action.document)  # of a push source with another prefix: it has moved here
    place = sources[action.prefix]
    assert isinstance(place, PushSource), "decided so"
    place.put(action.document, action.content, action.extension)
    return None


def _without_effect(
    context: IngestContext, before: Snapshot, after: Snapshot, found: _Run
) -> Mapping[int, str]:
    """Events whose document cannot be read, or is nowhere, and why."""
    columns = ("document_id", "status", "reason", "detail")
    rows = context.snapshots.rows_of(after, found.documents, columns)
    known = _known(context, before, found.referred)
    dead: dict[int, str] = {}
    for document, reason, detail in (
        rows.filter(pl.col("status") == QUARANTINED).select("document_id", "reason", "detail").iter_rows()
    ):
        if document in found.brought:  # a deletion or erasure has nothing to do with it
            dead[found.brought[document]] = f"{reason}: {detail}"
    for document in found.referred - known - set(rows["document_id"]):
        if document in found.brought:
            dead[found.brought[document]] = _nowhere(context.corpus)
    return dead


def _known(context: IngestContext, before: Snapshot, documents: Collection[str]) -> set[str]:
    """Those of some documents that the snapshot before this run had; none where its rows are lost."""
    try:
        return set(context.snapshots.rows_of(before, documents, ("document_id",))["document_id"])
    except ObjectLost:
        return set()


def _nowhere(corpus: Corpus) -> str:
    prefixes = " or ".join(repr(source.prefix) for source in corpus.sources)
    return f"no source of the corpus holds this document; ids begin with {prefixes}"


def _with_carried(brought: Mapping[str, Brought], found: _Run) -> dict[str, Brought]:
    """What this run has carried out counts as applied: an erasure may come while the run is at work."""
    known = dict(brought)
    for document in known.keys() & found.carried.keys():
        one, carried = known[document], found.carried[document]
        known[document] = replace(one, applied=max(one.applied or carried, carried))
    return known


def _renew_marks(inbox: Inbox, erasures: ErasureLog, corpus: str, found: _Run) -> None:
    """Where the new document of an erased one turns out to be unreadable, the erasure stands again."""
    failed = [document for document, row in found.brought.items() if row in found.dead]
    marks, brought = erasures.marks(), inbox.brought(corpus, failed)
    nothing = Brought(None, None)
    erasures.renew(
        [
            document
            for document in failed
            if document in marks
            and (brought.get(document, nothing).applied or marks[document].occurred)
            <= marks[document].occurred
        ]
    )


def _already_absent(context: IngestContext, before: Snapshot, found: _Run) -> Mapping[int, str]:
    """Deletions and erasures of documents that were not there: done, but perhaps meant for another id."""
    leaving = {document for document in found.documents if document not in found.brought}
    known = _known(context, before, leaving)
    return {
        row: "no document of this id was in the corpus when the run began"
        for document in leaving - known
        for row in found.documents[document]
    }
