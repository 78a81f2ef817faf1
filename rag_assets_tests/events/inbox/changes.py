"""Changes for tests: what matters in a test is named there, the rest is here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from rag_assets.events.inbox import Change, Inbox, Kind, State

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
_events = count(1)


def change(
    document: str = "a.md",
    kind: Kind = "updated",
    *,
    minute: float = 0,
    event: str | None = None,
    content: bytes | None = None,
) -> Change:
    """A change that occurred so many minutes after noon; its event is one of its own."""
    return Change(
        event=event or f"event-{next(_events)}",
        document=document,
        kind=kind,
        occurred=NOON + timedelta(minutes=minute),
        sender="tests",
        content=content,
    )


def states(inbox: Inbox, corpus: str = "handbook") -> dict[str, State]:
    """State of every event of one change."""
    return {entry.event: entry.state for entry in inbox.list(corpus, limit=10_000)}
