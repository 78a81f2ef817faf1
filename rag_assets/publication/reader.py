"""Read what is published, and nothing else.

``open_published("handbook").search("how do I roll back?", 5)``. A reader is pinned to one
publication until ``refresh`` moves it: a run in progress, a refused candidate or a half-built
version is never visible. Everything needed to search stands in the table itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rag_assets import corpus as models
from rag_assets.corpus import Mode
from rag_assets.errors import ModelError, NotPublished
from rag_assets.index.hit import Hit
from rag_assets.index.schema import read_metadata
from rag_assets.index.search import PinnedIndex
from rag_assets.index.table import IndexUnavailable, open_table
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.record import Publication
from rag_assets.settings import Settings
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from lancedb.table import LanceTable


def open_published(
    corpus: str, store: str | None = None, *, poll_seconds: float | None = None
) -> PublishedIndex:
    """Open the published version of a corpus.

    Args:
        corpus: name of the corpus.
        store: store URL; default is ``RAG_STORE``.
        poll_seconds: look for a newer publication before a search when the last look is at least
            this long ago; None follows moves only when ``refresh`` is called.

    Raises:
        NotPublished: nothing is published yet.
        ModelError: the embedder of the index cannot be loaded here.
    """
    return PublishedIndex(ObjectStore.open(store or Settings().store), corpus, poll_seconds)


class PublishedIndex:
    """A reader pinned to one publication. Use one per process; threads may share it."""

    def __init__(self, objects: ObjectStore, corpus: str, poll_seconds: float | None) -> None:
        self._objects = objects
        self._corpus = corpus
        self._poll_seconds = poll_seconds
        self._looked = time.monotonic()
        self._embedder: tuple[Mapping[str, Any], Embedder] | None = None
        self._open(PublicationLog(objects, corpus).head())

    @property
    def publication(self) -> Publication:
        """The publication that searches see."""
        return self._publication

    def search(self, text: str, k: int = 10, mode: Mode = "hybrid", where: str | None = None) -> list[Hit]:
        """The k best chunks of the publication, best first.

        Args:
            text: the question; no query syntax.
            k: hits wanted, at most.
            mode: hybrid (reciprocal rank fusion of the other two), vector or text (BM25).
            where: SQL condition on the table's columns, applied before the search.
        """
        if self._poll_seconds is not None and time.monotonic() - self._looked >= self._poll_seconds:
            self.refresh()
        try:
            return self._index.search(text, k, mode, where)
        except IndexUnavailable:
            # The version may have been cleaned up under a reader that never refreshed.
            if not self.refresh():
                raise
            return self._index.search(text, k, mode, where)

    def refresh(self) -> bool:
        """Move to the newest publication. True if there was one.

        Also where a corpus was deleted and built anew, and has come to the same number.
        """
        self._looked = time.monotonic()
        head, seen = PublicationLog(self._objects, self._corpus).head(), self._publication
        if head is not None and (head.number, head.candidate) == (seen.number, seen.candidate):
            return False
        self._open(head)
        return True

    def table(self) -> LanceTable:
        """The pinned LanceDB table, for queries of one's own."""
        return self._table

    def _open(self, publication: Publication | None) -> None:
        if publication is None:
            raise NotPublished(
                f"{self._corpus}: nothing is published in {self._objects.url} yet; run it first"
            )
        table = open_table(self._objects, self._corpus, at=publication.version)
        assert table is not None, "a publication implies a table"
        embedder = self._embedder_of(read_metadata(table.schema))
        self._index = PinnedIndex(table, embedder.embed_queries)
        self._table, self._publication = table, publication

    def _embedder_of(self, metadata: Mapping[str, Any]) -> Embedder:
        """The model that embedded the table; kept while publications use the same."""
        if self._embedder is None or self._embedder[0] != metadata["embedder"]:
            embedder = open_embedder(models.Embedder.model_validate(metadata["embedder"]))
            # Precision may differ between the machine that wrote and the one that reads; weights may not.
            wanted, found = metadata["model"], embedder.about
            if found["files"] != wanted["files"]:
                raise ModelError(
                    f"{self._corpus} was embedded with {wanted['model']}, files {wanted['files']}; found here is "
                    f"{found['model']}, files {found['files']}: install the model's files with which it was embedded, "
                    "or run the corpus with those that are here"
                )
            self._embedder = (metadata["embedder"], embedder)
        return self._embedder[1]
