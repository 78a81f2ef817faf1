"""What an event says about one document, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["created", "updated", "deleted", "erase"]
State = Literal["pending", "applied", "done", "superseded", "dead", "dropped"]
"""pending: not looked at. applied: in a snapshot, not yet published. done: what readers see contains it.
superseded: a newer event of the same document made it void. dead: set aside, with a reason, until a person
looks at it. dropped: a person has set it aside."""
URGENT: tuple[Kind, ...] = ("erase", "deleted")
"""Kinds that overtake the others."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one event says about one document.

    Attributes:
        event: id of the delivery; a delivery that names several documents has several changes.
        document: document id.
        occurred: when it happened at the sender, with time zone: of two events of a document the later one counts.
        sender: who announced it, in words.
        content: the document itself, or None when a source holds it.
        content_type: of the content, e.g. text/markdown; None leaves it to the document id's extension.
    """

    event: str
    document: str
    kind: Kind
    occurred: datetime
    sender: str
    content: bytes | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A change in the inbox. ``number`` is its row, ``attempts`` counts the runs that have taken it so far."""

    number: int
    change: Change
    received: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Suspects:
    """Pending changes that a run had taken together when it failed: one of them may be to blame.

    Attributes:
        run_id: of that run.
        together: how many it had taken.
    """

    run_id: str
    together: int


Among = Suspects | Literal["all", "fresh"]
"""Which pending changes are meant: all, those that no run has failed over, or those that one has."""


@dataclass(frozen=True, slots=True)
class Brought:
    """When a document was last brought, by the sender's time; None when never.

    Attributes:
        created: its newest creation that was not set aside.
        applied: its newest creation or update that is in a snapshot.
        snapshot: the one that has its newest creation that is in any.
    """

    created: datetime | None
    applied: datetime | None
    snapshot: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits in the inbox of one corpus.

    Attributes:
        count: pending changes.
        urgent: those among them that overtake.
        oldest, newest: when the first and the last of them were received; None when there are none.
        last: greatest row number among them.
        attempts: sum of their attempts: another value after every run that took some and failed.
    """

    count: int
    urgent: int
    oldest: datetime | None
    newest: datetime | None
    last: int
    attempts: int
