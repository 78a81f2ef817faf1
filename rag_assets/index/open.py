"""From a version of a corpus's table to a search in it, with the model that embedded it.

Apart from ``search``: readers search without a corpus file.
"""

from __future__ import annotations

from rag_assets.errors import StoreUnavailable
from rag_assets.index.schema import read_metadata
from rag_assets.index.search import BatchSearch, PinnedIndex
from rag_assets.index.table import open_table
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.canary import check_canary
from rag_assets.ingest.embedding.open import open_embedder


def open_search(context: IngestContext, version: int) -> BatchSearch:
    """Searches one version of a corpus's table."""
    table = open_table(context.objects, context.corpus.name, at=version)
    if table is None:
        raise StoreUnavailable(f"{context.corpus.name}: there is no table to search")
    own = context.corpus.embedder
    settings = type(own).model_validate(read_metadata(table.schema)["embedder"])
    embedder = context.embedder if settings == own else open_embedder(settings)
    check_canary(context.objects, embedder)  # the gate would measure another model than readers have
    return BatchSearch(PinnedIndex(table, embedder.embed_queries))
