"""Dagster resources: the store, and whom to tell about progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from rag_assets.corpus import Corpus
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.progress import Progress
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from rag_assets.events.inbox import Inbox

LOG_SECONDS = 10.0

ProgressFor = Callable[[dg.AssetExecutionContext], Progress]
"""Makes the progress listener of one step."""


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The store that holds everything. Credentials come from the environment, never from here."""

    url: str = Field(
        default_factory=lambda: Settings().store,
        description="A local folder or s3://bucket/prefix; default RAG_STORE.",
    )

    take_events: bool = Field(default=True, description="Whether runs apply the events that wait.")

    def inbox(self, corpus: Corpus) -> Inbox | None:
        """Where the corpus's events wait; None where its file asks for none, or they are to be left there."""
        if corpus.events is None or not self.take_events:
            return None
        return _open_inbox(self.url, Settings().inbox)

    def pipeline(self, context: dg.AssetExecutionContext, corpus: Corpus, progress: ProgressFor) -> Pipeline:
        """The corpus's stages for one step."""
        return Pipeline(
            ObjectStore.open(self.url),
            corpus,
            run_id=context.run.run_id,
            progress=progress(context),
            inbox=self.inbox(corpus),
        )


@cache
def _open_inbox(store: str, inbox: str) -> Inbox:
    """One pool of connections for a process: sensors ask every few seconds."""
    from rag_assets.events.inbox import open_inbox

    return open_inbox(Settings(store=store, inbox=inbox))


def log_progress(context: dg.AssetExecutionContext) -> Progress:
    """Progress as lines of the run's log, at most one every ten seconds per stage."""
    last = time.monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_SECONDS:
            last = time.monotonic()
            context.log.info(f"{stage}: {done:,} of {total:,}")

    return tell
