"""Settings from the environment: where the store is and where corpus files come from.

Everything that belongs to one corpus stands in its corpus file; only what differs between
a laptop and a cluster is a setting. Secrets are never settings of ours: object storage
reads the standard AWS variables itself.
"""

from __future__ import annotations

import getpass
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rag_assets.errors import well_formed


class Settings(BaseSettings):
    """``RAG_…`` environment variables. A variable that is set to nothing counts as unset."""

    model_config = SettingsConfigDict(env_prefix="RAG_", env_ignore_empty=True, extra="ignore")

    store: str = Field(
        default=".rag",
        description="Store URL: a local folder or s3://bucket/prefix. RAG_STORE.",
    )
    corpora: Path = Field(
        default=Path("corpora"),
        description="Folder with the corpus files <name>.yaml. RAG_CORPORA.",
    )
    inbox: str = Field(
        default="",
        description="Database of events: postgresql://user:password@host/name, or sqlite:///path. Unset: "
        "inbox.sqlite in the store's folder. RAG_INBOX.",
    )
    executor: str = Field(
        default="in_process",
        description="Where the steps of a run are executed: in_process, multiprocess, k8s, ray or docker. RAG_EXECUTOR.",
    )
    by: str = Field(
        default_factory=lambda: _user(),
        description="Who publishes and rolls back, for the publication log; default: the user's name. RAG_BY.",
    )

    @field_validator("by")
    @classmethod
    def _can_be_recorded(cls, by: str) -> str:
        return well_formed(by)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id that has no name
        return "unknown"
