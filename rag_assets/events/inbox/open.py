"""Which database is the inbox: RAG_INBOX, or a file beside a local store."""

from __future__ import annotations

from sqlalchemy import URL

from rag_assets.errors import ConfigurationError
from rag_assets.events.inbox.inbox import Inbox
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore

FILE = "inbox.sqlite"


def open_inbox(settings: Settings) -> Inbox:
    """The inbox of the settings.

    Raises:
        ConfigurationError: a store in S3 and no RAG_INBOX, or a URL that is none.
        InboxUnavailable: the database did not answer.
    """
    if settings.inbox:
        return Inbox.open(settings.inbox)
    objects = ObjectStore.open(settings.store)
    if not objects.is_local:
        raise ConfigurationError(
            f"the store {objects.url} is not on this machine, and events need a database that every machine "
            "reaches: set RAG_INBOX to postgresql://user:password@host/name"
        )
    return Inbox.open(URL.create("sqlite", database=f"{objects.url}/{FILE}"))
