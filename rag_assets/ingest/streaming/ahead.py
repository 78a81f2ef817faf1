"""What was made ahead of the stages, counted from the stores and not from what workers said.

stores before, stores after → the keys of this run that were missing and now are there. A batch that was
done twice is counted once, and so is one whose worker died after it had committed.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rag_assets.ingest.context import IngestContext
from rag_assets.store.content import ContentStore

SLICE = 512  # texts whose chunks are looked up together


@dataclass(slots=True)
class Ahead:
    """What was made ahead, and how long it took.

    Attributes:
        chunked: texts that were chunked, into how many chunks and tokens.
        chunks: of these texts.
        chunk_tokens: of these texts.
        chunk_bytes: written as shards.
        embedded: texts that got a vector.
        poisoned: texts that the model refused.
        tokens: of both.
        vector_bytes: written as shards.
        seconds: wall time, reading and parsing included.
        warm_tokens, warm_seconds: of embedding once the model was loaded, where that is known.
    """

    chunked: int = 0
    chunks: int = 0
    chunk_tokens: int = 0
    chunk_bytes: int = 0
    embedded: int = 0
    poisoned: int = 0
    tokens: int = 0
    vector_bytes: int = 0
    seconds: float = 0.0
    warm_tokens: int = 0
    warm_seconds: float = 0.0

    @property
    def vectors(self) -> dict[str, float]:
        """What was made of vectors, and how long it took: not the chunks stage's own work."""
        names = ("embedded", "poisoned", "tokens", "vector_bytes", "seconds")
        return {name: getattr(self, name) for name in names}


class Before:
    """The chunk and embedding stores as they were when this was made."""

    def __init__(self, context: IngestContext) -> None:
        own = context.fresh()  # stores of its own, which do not see what is written through others
        self._chunks, self._embeddings = own.chunks, own.embeddings
        for store in (self._chunks, self._embeddings):
            remember(store)

    def count(self, after: IngestContext, keys: pl.Series) -> Ahead:
        """What was made of these parsed texts since.

        Args:
            after: opened when all was done.
            keys: text keys.
        """
        made = Ahead()
        fresh = self._chunks.missing(keys).implode()
        embedded = [pl.DataFrame(schema={"key": pl.String})]
        for start in range(0, keys.len(), SLICE):
            for rows in after.chunks.get(keys.slice(start, SLICE), ("embedding_key", "tokens")):
                new = rows.filter(pl.col("key").is_in(fresh))
                made.chunked += new.height
                made.chunks += int(new["embedding_key"].list.len().sum())
                made.chunk_tokens += int(new["tokens"].list.sum().sum())
                wanted = rows["embedding_key"].explode(keep_nulls=False, empty_as_null=False)
                embedded.append(self._embeddings.missing(wanted).to_frame("key"))
        distinct = pl.concat(embedded)["key"].unique()
        for rows in after.embeddings.get(distinct, ("tokens", "reason")):
            poisoned = int(rows["reason"].count())
            made.embedded += rows.height - poisoned
            made.poisoned += poisoned
            made.tokens += int(rows["tokens"].sum())
        return made


def remember(store: ContentStore) -> None:
    """Have a store look at what is there: what it says is missing is what was missing now."""
    store.missing(pl.Series("key", [], dtype=pl.String))
