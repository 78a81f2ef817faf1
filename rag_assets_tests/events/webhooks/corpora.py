"""Corpora that take events: one of each kind of source, one with narrow limits, one that takes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag_assets.corpus import Corpus, Scheme
from rag_assets_tests.events.webhooks.senders import NARROW_SECRET, SECRET

VARIABLE = "HANDBOOK_SECRET"
NARROW_VARIABLE = "NARROW_SECRET"
ENVIRON = {VARIABLE: SECRET, NARROW_VARIABLE: NARROW_SECRET}
SOURCES: list[dict[str, Any]] = [
    {"type": "folder", "path": "docs", "include": ["*.md"], "exclude": ["drafts/"]},
    {"type": "push", "prefix": "cms/"},
    {"type": "s3", "url": "s3://docs/manuals", "prefix": "manuals/", "include": ["*.pdf"]},
]


def corpus(
    name: str = "handbook",
    sources: Sequence[dict[str, Any]] = SOURCES,
    accept: Sequence[Scheme] = ("standard", "github", "bearer"),
    **webhooks: Any,
) -> Corpus:
    """A corpus that takes events in every way, of the repository acme/docs and the bucket docs."""
    hook = {"secret_variable": VARIABLE, "accept": accept, **webhooks}
    if "github" in accept:
        hook = {"repository": "acme/docs", **hook}
    if all(source["type"] != "s3" for source in sources):
        hook = {"bucket": "docs", **hook}
    return Corpus.model_validate({"name": name, "sources": sources, "events": {"webhooks": hook}})


def quiet_corpus() -> Corpus:
    """A corpus that takes no events."""
    return Corpus.model_validate({"name": "quiet", "sources": SOURCES})
