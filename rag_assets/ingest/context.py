"""What the stages of ingest work with: the store, the corpus file, the chunker, the embedder and what they made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rag_assets import corpus as models
from rag_assets.ingest.chunking.chunker import Chunker
from rag_assets.ingest.chunking.stage import chunk_store
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.parity import Parity, ParityLog
from rag_assets.ingest.embedding.stage import embedding_store
from rag_assets.store.content import ContentStore
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import SnapshotStore


@dataclass(frozen=True)
class IngestContext:
    """One corpus on one machine. Nothing is opened before it is used.

    Attributes:
        objects: the store.
        corpus: the corpus file.
        own_embedder: embeds instead of the one that the corpus file asks for.
        own_chunker: cuts instead of one made for the embedder.
    """

    objects: ObjectStore
    corpus: models.Corpus
    own_embedder: Embedder | None = None
    own_chunker: Chunker | None = None

    @cached_property
    def embedder(self) -> Embedder:
        """Loads its model at the first text. Raises ModelError where the files of the model cannot be found."""
        return open_embedder(self.corpus.embedder) if self.own_embedder is None else self.own_embedder

    @cached_property
    def chunker(self) -> Chunker:
        """Cuts texts for the embedder's window."""
        if self.own_chunker is not None:
            return self.own_chunker
        return Chunker(self.corpus.chunking, self.embedder.counter(), self.embedder.window)

    @cached_property
    def snapshots(self) -> SnapshotStore:
        """Which documents there were, and how each was read."""
        return SnapshotStore(self.objects, self.corpus.name)

    @cached_property
    def chunks(self) -> ContentStore:
        """Chunks under the current fingerprint."""
        return chunk_store(self.objects, self.chunker, self.corpus.chunking)

    @cached_property
    def embeddings(self) -> ContentStore:
        """Vectors under the current fingerprint."""
        return embedding_store(self.objects, self.embedder)

    @cached_property
    def parity(self) -> Parity | None:
        """Whose vectors the embedder's own were measured to equal; None when nothing was measured."""
        return ParityLog(self.objects).find(self.embedder.fingerprint)

    @property
    def vectors(self) -> str:
        """Fingerprint under which vectors are kept: the embedder's, or of the one that it equals."""
        return self.embedder.fingerprint if self.parity is None else self.parity.same_as

    @property
    def vectors_about(self) -> Mapping[str, Any]:
        """What stands behind ``vectors``, readable: what readers hold the model against that they open."""
        return self.embedder.about if self.parity is None else self.parity.about

    @property
    def reader(self) -> models.Embedder:
        """Settings under which readers embed queries: those of the embedder that this one equals may need no GPU."""
        if self.parity is None:
            return self.corpus.embedder
        kept = self.corpus.embedder.model_dump(exclude={"type", "endpoint", "vllm"})
        return models.Embedder.model_validate({**kept, "type": self.parity.backend})

    def fresh(self) -> IngestContext:
        """The same with stores of its own: they see what was written and tidied up until they are used."""
        return replace(self, own_embedder=self.embedder, own_chunker=self.chunker)

    def refresh(self) -> None:
        """Have the stores of chunks and vectors see what others wrote."""
        self.chunks.refresh()
        self.embeddings.refresh()
