"""Where documents come from: list what is there, find what may have changed, read only that.

``open_sources(corpus)`` → ``Source.list`` → ``compare`` with the previous listing → ``Source.read``
of the new and changed ones.

Knows places, versions and bytes; not formats, parsing or what happens to the bytes.
"""

from __future__ import annotations

from rag_assets.ingest.sources.diff import Comparison, compare
from rag_assets.ingest.sources.folder import FolderSource
from rag_assets.ingest.sources.open import open_sources
from rag_assets.ingest.sources.push import PushSource
from rag_assets.ingest.sources.s3 import S3Source
from rag_assets.ingest.sources.source import Source, SourceObject

__all__ = [
    "Comparison",
    "FolderSource",
    "PushSource",
    "S3Source",
    "Source",
    "SourceObject",
    "compare",
    "open_sources",
]
