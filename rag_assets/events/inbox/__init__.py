"""The inbox: what senders announced, kept until readers see it.

``accept`` (a delivery, durable on return) → ``take`` (one run at a time, newest change of a
document only) → ``applied`` (it is in a snapshot) → ``acknowledge`` (it is published). Every step
reads and writes states in one database, so that a crash between any two of them loses nothing.

Knows changes and their states; not HTTP, sources or what a run does with an event.
"""

from __future__ import annotations

from rag_assets.events.inbox.entry import Entry
from rag_assets.events.inbox.event import URGENT, Change, Kind, Pending, Received, State
from rag_assets.events.inbox.inbox import REMEMBERED, Inbox
from rag_assets.events.inbox.open import open_inbox

__all__ = [
    "REMEMBERED",
    "URGENT",
    "Change",
    "Entry",
    "Inbox",
    "Kind",
    "Pending",
    "Received",
    "State",
    "open_inbox",
]
