"""From the corpus file's ``sources`` to sources that can be listed."""

from __future__ import annotations

from rag_assets import corpus as models
from rag_assets.ingest.sources.folder import FolderSource
from rag_assets.ingest.sources.push import PushSource
from rag_assets.ingest.sources.s3 import S3Source
from rag_assets.ingest.sources.source import Source
from rag_assets.store.objects import ObjectStore


def open_sources(corpus: models.Corpus, objects: ObjectStore) -> list[Source]:
    """The sources of a corpus, in the order of its file. Opening touches neither disk nor network.

    Args:
        corpus: the corpus file.
        objects: the store, which keeps what events push.
    """
    return [_open(corpus, source, objects) for source in corpus.sources]


def _open(corpus: models.Corpus, source: models.Source, objects: ObjectStore) -> Source:
    match source:
        case models.FolderSource():
            return FolderSource(corpus.resolve(source.path), source.include, source.exclude, source.prefix)
        case models.S3Source():
            return S3Source(source.url, source.include, source.exclude, source.prefix)
        case models.PushSource():
            return PushSource(objects, corpus.name, source.prefix)
