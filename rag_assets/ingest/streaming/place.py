"""What the steps of a stream work with: the stores, the chunker and the embedder of one corpus, on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rag_assets import corpus as models
from rag_assets.errors import ConfigurationError
from rag_assets.ingest.chunking.chunker import Chunker
from rag_assets.ingest.chunking.stage import chunk_store
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.stage import embedding_store
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore


@dataclass(frozen=True)
class Place:
    """A machine on which a corpus is worked on. No store is opened before it is used.

    Attributes:
        objects: the store.
        corpus: the corpus file.
        chunker: cuts texts for the embedder.
        embedder: loads its model at the first text.
    """

    objects: ObjectStore
    corpus: models.Corpus
    chunker: Chunker
    embedder: Embedder

    @cached_property
    def chunks(self) -> ContentStore:
        """Chunks under the current fingerprint."""
        return chunk_store(self.objects, self.chunker, self.corpus.chunking)

    @cached_property
    def embeddings(self) -> ContentStore:
        """Vectors under the current fingerprint."""
        return embedding_store(self.objects, self.embedder)


@dataclass(frozen=True, slots=True)
class Job:
    """What other machines are told. Plain data: what is secret they find in their own environment.

    Attributes:
        store: URL of the store.
        corpus: the corpus file; its precision is the one that the driver's machine chose.
        chunker: fingerprint that the driver's chunker has.
        embedder: fingerprint that the driver's embedder has.
    """

    store: str
    corpus: models.Corpus
    chunker: str
    embedder: str

    @classmethod
    def of(cls, place: Place) -> Job:
        """What the driver's machine tells the others."""
        # "auto" depends on the hardware, which may differ between machines: the driver has chosen.
        precision = place.embedder.about["precision"] or "auto"
        precise = place.corpus.embedder.model_copy(update={"precision": precision})
        told = place.corpus.model_copy(update={"embedder": precise})
        return cls(place.objects.url, told, place.chunker.fingerprint, place.embedder.fingerprint)

    def open(self) -> Place:
        """This machine. Raises ConfigurationError where its chunker or embedder is another one than the driver's."""
        embedder = open_embedder(self.corpus.embedder)
        self._check("embedder", embedder.fingerprint, self.embedder)
        chunker = Chunker(self.corpus.chunking, embedder.counter(), embedder.window)
        self._check("chunker", chunker.fingerprint, self.chunker)
        return Place(ObjectStore.open(self.store), self.corpus, chunker, embedder)

    def _check(self, what: str, found: str, expected: str) -> None:
        if found != expected:
            raise ConfigurationError(
                f"{self.corpus.name}: the {what} of a Ray worker has the fingerprint {found}, and the run expects "
                f"{expected}: install the same packages and the same model files on every machine of the cluster"
            )
