"""What every actor works with: the stores, the chunker and the embedder of one corpus, opened on its own machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rag_assets import corpus as models
from rag_assets.chunking.chunker import Chunker
from rag_assets.chunking.stage import chunk_store
from rag_assets.embedding.embedder import Embedder
from rag_assets.embedding.open import open_embedder
from rag_assets.embedding.stage import embedding_store
from rag_assets.errors import ConfigurationError
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Job:
    """What actors are told. Plain data: what is secret they find in the environment of their machine.

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
    def of(cls, objects: ObjectStore, corpus: models.Corpus, chunker: Chunker, embedder: Embedder) -> Job:
        """The job of one run of a corpus."""
        # "auto" depends on the hardware, which may differ between machines: the driver has chosen.
        precise = corpus.embedder.model_copy(update={"precision": embedder.about["precision"] or "auto"})
        told = corpus.model_copy(update={"embedder": precise})
        return cls(objects.url, told, chunker.fingerprint, embedder.fingerprint)


class Place:
    """The job, opened on the machine of an actor. Nothing is opened before it is used."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.corpus = job.corpus

    @cached_property
    def objects(self) -> ObjectStore:
        """The store."""
        return ObjectStore.open(self._job.store)

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder. Raises ConfigurationError where it is another one than the driver's."""
        embedder = open_embedder(self.corpus.embedder)
        self._check("embedder", embedder.fingerprint, self._job.embedder)
        return embedder

    @cached_property
    def chunker(self) -> Chunker:
        """The chunker. Raises ConfigurationError where it is another one than the driver's."""
        chunker = Chunker(self.corpus.chunking, self.embedder.counter(), self.embedder.window)
        self._check("chunker", chunker.fingerprint, self._job.chunker)
        return chunker

    @cached_property
    def chunks(self) -> ContentStore:
        """Chunks under the job's fingerprint."""
        return chunk_store(self.objects, self.chunker, self.corpus.chunking)

    @cached_property
    def embeddings(self) -> ContentStore:
        """Vectors under the job's fingerprint."""
        return embedding_store(self.objects, self.embedder)

    def _check(self, what: str, found: str, expected: str) -> None:
        if found != expected:
            raise ConfigurationError(
                f"{self.corpus.name}: the {what} of a Ray worker has the fingerprint {found}, and the run expects "
                f"{expected}: install the same packages and the same model files on every machine of the cluster"
            )
