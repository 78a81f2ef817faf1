"""A corpus in a folder, a store, and what a reader sees: the seams through which tests act."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from rag_assets import open_published
from rag_assets.corpus import Corpus, load_corpus
from rag_assets.ingest.chunking.tokens import TokenCounter
from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.making import make_snapshot
from rag_assets.ingest.parsing.batch import DocumentCounts
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.pipeline.runs import summary
from rag_assets.progress import silent
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import Snapshot

COLUMNS = (
    "chunk_id", "document_id", "uri", "title", "text", "heading_path", "position", "start", "end", "tokens", "metadata",
)  # fmt: skip


class CountingEmbedder:
    """Counts what the real embedder is asked to embed; optionally fails on some texts."""

    def __init__(self, inner: Embedder, poison: str | None = None) -> None:
        self._inner = inner
        self._poison = poison
        self.texts: list[str] = []
        self.fingerprint = inner.fingerprint
        self.about: Mapping[str, Any] = inner.about
        self.window = inner.window
        self.at_once = inner.at_once

    def counter(self) -> TokenCounter:
        return self._inner.counter()

    def embed(self, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
        from rag_assets.errors import EmbeddingFailed

        if self._poison is not None and any(self._poison in text for text in texts):
            raise EmbeddingFailed("the model choked")
        self.texts += texts
        return self._inner.embed(texts, tokens)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._inner.embed_queries(texts)


def run_stages(pipeline: Pipeline) -> None:
    """All stages in their order."""
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()
    pipeline.candidate()
    if pipeline.standards.models is not None:
        pipeline.answers()
        pipeline.judgements()
    pipeline.evaluate()
    pipeline.publish(reason="test", by="tests")


def update_snapshot(pipeline: Pipeline, only: Collection[str] | None) -> tuple[Snapshot, DocumentCounts]:
    """What the documents stage does after it has applied events."""
    return make_snapshot(pipeline.context, pipeline.stream, silent, only)


class Workspace:
    """One corpus with its documents and its store."""

    def __init__(self, root: Path, store: str, name: str = "handbook", **settings: Any) -> None:
        self.name = name
        self.store = store
        self.documents = root / f"{name}-documents"
        self.documents.mkdir(parents=True, exist_ok=True)
        self.path = root / "corpora" / f"{name}.yaml"
        self.path.parent.mkdir(exist_ok=True)
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Write the corpus file anew."""
        source = {"type": "folder", "path": str(self.documents)}
        self.path.write_text(
            yaml.safe_dump({"sources": [source], "embedder": {"type": "static"}, **settings})
        )

    @property
    def corpus(self) -> Corpus:
        return load_corpus(self.path)

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore.open(self.store)

    def write(self, name: str, text: str) -> None:
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pipeline(
        self, run_id: str = "run", poison: str | None = None, full_verify_rows: int | None = None
    ) -> tuple[Pipeline, CountingEmbedder]:
        embedder = CountingEmbedder(open_embedder(self.corpus.embedder), poison)
        pipeline = Pipeline(
            self.objects,
            self.corpus,
            run_id=run_id,
            embedder=embedder,
            full_verify_rows=full_verify_rows,
        )
        return pipeline, embedder

    def run(self, poison: str | None = None, full_verify_rows: int | None = None) -> list[str]:
        """All stages; returns the texts that were embedded."""
        pipeline, embedder = self.pipeline(poison=poison, full_verify_rows=full_verify_rows)
        run_stages(pipeline)
        return embedder.texts

    def last_run(self) -> dict[str, Any]:
        pipeline, _ = self.pipeline()
        return summary(pipeline.runs.last()["stages"])

    def rows(self, vectors: bool = True) -> pl.DataFrame:
        """Everything that readers of the published version see, in a fixed order."""
        table = open_published(self.name, self.store).table()
        frame = pl.from_arrow(table.to_lance().to_table(columns=[*COLUMNS, *(["vector"] if vectors else [])]))
        assert isinstance(frame, pl.DataFrame)
        return frame.sort("chunk_id")


def paragraphs(count: int, seed: int) -> list[str]:
    """Distinct paragraphs of about 80 words."""
    words = [
        "index",
        "table",
        "reader",
        "vector",
        "publish",
        "gate",
        "corpus",
        "chunk",
        "search",
        "store",
        "rollback",
    ]
    rng = np.random.default_rng(seed)
    return [f"Paragraph {seed}-{number}. " + " ".join(rng.choice(words, 80)) + "." for number in range(count)]


def document(seed: int, sections: int = 4) -> str:
    """A Markdown document with one paragraph in each section."""
    parts = [f"---\ntitle: Document {seed}\ntenant: t{seed % 3}\n---\n# Document {seed}\n"]
    for number, paragraph in enumerate(paragraphs(sections, seed)):
        parts.append(f"## Section {seed}.{number}\n\n{paragraph}\n")
    return "\n".join(parts)
