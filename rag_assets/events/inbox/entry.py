"""A change in the inbox as people look at it: everything but its content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rag_assets.events.inbox.event import Kind, State


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the inbox.

    Attributes:
        number: of the row.
        position: in its delivery, from 0.
        size: bytes of content that are kept; None when there is no content (any more).
        changed: when it came into its state.
        attempts: runs that have taken it; ``run_id`` is the last of them.
        reason: why it is superseded, dead or dropped.
        snapshot, publication: the first that contain it.
    """

    number: int
    corpus: str
    event: str
    position: int
    document: str
    kind: Kind
    occurred: datetime
    sender: str
    size: int | None
    content_type: str | None
    received: datetime
    state: State
    changed: datetime
    attempts: int
    run_id: str | None
    reason: str | None
    snapshot: int | None
    publication: int | None
