"""The receiver: events over HTTP into the inbox.

A request is bounded (``rates``, ``body``), proven (``authenticity``), understood (``dialects``,
``places``), written to the inbox, and only then answered with 202. A sender that gets any other answer, or none,
sends again: what is announced twice is noticed and counts once.

Knows requests and senders; not runs, nor the store.
"""

from __future__ import annotations

from rag_assets.events.webhooks.app import create_app

__all__ = ["create_app"]
