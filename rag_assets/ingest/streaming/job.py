"""What other machines are told, so that each opens the context of the same corpus for itself."""

from __future__ import annotations

from dataclasses import dataclass

from rag_assets import corpus as models
from rag_assets.errors import ConfigurationError
from rag_assets.ingest.context import IngestContext
from rag_assets.store.objects import ObjectStore


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
    def of(cls, context: IngestContext) -> Job:
        """What the driver's machine tells the others."""
        # "auto" depends on the hardware, which may differ between machines: the driver has chosen.
        precision = context.embedder.about["precision"] or "auto"
        precise = context.corpus.embedder.model_copy(update={"precision": precision})
        told = context.corpus.model_copy(update={"embedder": precise})
        return cls(context.objects.url, told, context.chunker.fingerprint, context.embedder.fingerprint)

    def open(self) -> IngestContext:
        """This machine. Raises ConfigurationError where its chunker or embedder is another one than the driver's."""
        context = IngestContext(ObjectStore.open(self.store), self.corpus)
        self._check("embedder", context.embedder.fingerprint, self.embedder)
        self._check("chunker", context.chunker.fingerprint, self.chunker)
        return context

    def _check(self, what: str, found: str, expected: str) -> None:
        if found != expected:
            raise ConfigurationError(
                f"{self.corpus.name}: the {what} of a Ray worker has the fingerprint {found}, and the run expects "
                f"{expected}: install the same packages and the same model files on every machine of the cluster"
            )
