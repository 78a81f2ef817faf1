"""From the corpus file's ``sources`` to sources that can be listed."""

from __future__ import annotations

from rag_assets import corpus as models
from rag_assets.sources.folder import FolderSource
from rag_assets.sources.s3 import S3Source
from rag_assets.sources.source import Source


def open_sources(corpus: models.Corpus) -> list[Source]:
    """The sources of a corpus, in the order of its file. Opening touches neither disk nor network."""
    return [_open(corpus, source) for source in corpus.sources]


def _open(corpus: models.Corpus, source: models.FolderSource | models.S3Source) -> Source:
    if isinstance(source, models.FolderSource):
        return FolderSource(corpus.resolve(source.path), source.include, source.exclude, source.prefix)
    return S3Source(source.url, source.include, source.exclude, source.prefix)
