"""The rows of one stage of one snapshot, read from the stores, and their profile.

snapshot → documents → texts, chunks or vectors in bounded batches → ``quality``'s profiles. A profile is
computed once for each state of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from rag_assets.evaluation.gold import GoldSet, load_gold
from rag_assets.evaluation.gold.check import check_gold
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.parsing.batch import document_store
from rag_assets.quality import Profile, Stage
from rag_assets.quality.chunks import CHUNK_COLUMNS, profile_chunks
from rag_assets.quality.documents import FACTS, ROW_COLUMNS, profile_documents
from rag_assets.quality.embeddings import profile_embeddings
from rag_assets.quality.files import QualityFiles
from rag_assets.quality.gold import profile_gold
from rag_assets.quality.texts import measure_missing, text_store, texts_fingerprint
from rag_assets.store.digest import fingerprint
from rag_assets.store.snapshots import Snapshot

DOCUMENTS = 512  # documents whose texts or chunks are in memory together
VECTORS = 2048  # vectors in memory together
ALGORITHM = 1  # raise it with every change of what a profile holds
_NOT_THERE_YET = ("dangling_texts", "unchunked_documents", "missing_vectors")


@dataclass(frozen=True)
class StageTable:
    """The rows of one stage of one snapshot; ``publication``: the number under which they are published."""

    context: IngestContext
    stage: Stage
    snapshot: Snapshot
    publication: int | None = None

    @cached_property
    def gold(self) -> GoldSet:
        """The gold set of the corpus, which must have one. Raises GoldSetError."""
        assert self.context.corpus.gold_path is not None, "the gold stage needs evaluation.gold"
        return load_gold(self.context.corpus.gold_path)

    @cached_property
    def key(self) -> str:
        """Names the rows: equal keys, equal profiles."""
        parts: dict[str, object] = {"algorithm": ALGORITHM, "snapshot": self.snapshot.digest}
        match self.stage:
            case "documents":
                parts["texts"] = texts_fingerprint()
            case "chunks":
                parts["chunker"] = self.context.chunker.fingerprint
            case "embeddings":
                parts["chunker"] = self.context.chunker.fingerprint
                parts["embedder"] = self.context.vectors
            case "gold":
                parts |= {"gold": self.gold.digest, "proposals": len(self.gold.proposals)}
        return fingerprint(parts)

    def profile(self, files: QualityFiles) -> tuple[Profile, pl.DataFrame]:
        """The profile and the sample; computed if the store has none."""
        found = files.read_profile(self.stage, self.key)
        if found is None:
            found = self._compute()
            if is_complete(found[0]):
                files.write_profile(self.key, *found)
        return found

    def _compute(self) -> tuple[Profile, pl.DataFrame]:
        match self.stage:
            case "documents":
                return profile_documents(
                    self.context.snapshots.rows(self.snapshot, ROW_COLUMNS), self._facts()
                )
            case "chunks":
                return profile_chunks(self._chunks(CHUNK_COLUMNS), self.context.chunker.max_tokens)
            case "embeddings":
                return profile_embeddings(self._vectors())
            case "gold":
                return self._gold()

    @cached_property
    def _readable(self) -> pl.DataFrame:
        return self.context.snapshots.readable(self.snapshot)

    def _facts(self) -> Iterator[pl.DataFrame]:
        """Facts of the documents' texts; those that no store holds are measured first."""
        store = text_store(self.context.objects)
        keys = self._readable["text_key"].unique(maintain_order=True)
        missing = store.missing(keys).to_frame()
        wanted = self._readable.unique("text_key", maintain_order=True)
        wanted = wanted.join(missing, left_on="text_key", right_on="key", how="semi", maintain_order="left")
        measure_missing(store, (texts.select("text", key="text_key") for texts in self._texts(wanted)))
        for start in range(0, keys.len(), DOCUMENTS):
            yield store.collect(keys.slice(start, DOCUMENTS), FACTS)

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        """document_id and lists of its chunks, in slices of documents; null where the store has none."""
        for batch in self._readable.select("document_id", "text_key").iter_slices(DOCUMENTS):
            stored = self.context.chunks.collect(batch["text_key"], columns)
            yield batch.join(stored, left_on="text_key", right_on="key", how="left", maintain_order="left")

    def _vectors(self) -> Iterator[pl.DataFrame]:
        """key, vector and reason of every chunk, in slices of chunks."""
        for batch in self._chunks(("embedding_key",)):
            keys = batch.filter(pl.col("embedding_key").list.len() > 0)["embedding_key"].explode()
            for start in range(0, keys.len(), VECTORS):
                part = keys.slice(start, VECTORS).alias("key").to_frame()
                stored = self.context.embeddings.collect(part["key"], ("vector", "reason"))
                yield part.join(stored, on="key", how="left", maintain_order="left")

    def _gold(self) -> tuple[Profile, pl.DataFrame]:
        readable = set(self._readable["document_id"])
        quarantined = self.context.snapshots.quarantined(self.snapshot).select("document_id", "reason")
        findings = check_gold(self.gold, readable, dict(quarantined.iter_rows()), self._gold_texts())
        return profile_gold(self.gold, findings, readable)

    def _gold_texts(self) -> Iterator[tuple[str, str]]:
        """Texts to look for quotes and answers in; all of them only if a question has a quote."""
        wanted = self._readable
        if not any(question.passages for question in self.gold.questions):
            named = {document for question in self.gold.questions for document in question.documents}
            wanted = wanted.filter(pl.col("document_id").is_in(list(named)))
        for texts in self._texts(wanted):
            yield from texts.select("document_id", "text").iter_rows()

    def _texts(self, documents: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """document_id, text_key and parsed text; a document whose text the store lacks is left out."""
        for (format,), part in documents.group_by(["format"], maintain_order=True):
            store = document_store(self.context.objects, str(format))
            for batch in part.iter_slices(DOCUMENTS):
                for rows in store.get(batch["content_key"], ("text",)):
                    joined = batch.join(rows, left_on="content_key", right_on="key", maintain_order="left")
                    yield joined.select("document_id", "text_key", "text")


def is_complete(profile: Profile) -> bool:
    """False while rows refer to what is not in the store: the next run makes it, and the profile is another."""
    return not any(profile.numbers.get(name) for name in _NOT_THERE_YET)
