"""Search one pinned version: by vector, by text (BM25), or both, fused by reciprocal rank.

Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009. Every search fetches ``DEPTH``
rows: fusing two short lists loses what stands low in both, and ties, which are broken by chunk
id, must not be cut before that. So the same question gives the same answer, whatever k is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from rag_assets.corpus import Mode
from rag_assets.index.condition import enclosed, mistake_in, refused
from rag_assets.index.hit import Hit
from rag_assets.index.question import checked_hits, checked_mode, checked_question
from rag_assets.index.schema import read_metadata
from rag_assets.index.table import translated

if TYPE_CHECKING:
    import numpy as np
    from lancedb.table import LanceTable
    from numpy.typing import NDArray

DEPTH = 100
RRF_K = 60
AT_ONCE = 4  # questions that are asked together
REFINE = 5  # exact distances for five times as many candidates as asked for
FILTER_SECONDS = 60
"""That a search with a condition may take: however short a condition is, every row may be asked for it."""
COLUMNS = ["chunk_id", "document_id", "uri", "title", "text", "heading_path", "metadata"]

Leg = Literal["vector", "text"]
LEGS: tuple[Leg, ...] = ("vector", "text")

EmbedQueries = Callable[[Sequence[str]], "NDArray[np.float32]"]


class PinnedIndex:
    """One version of a corpus's table, ready to be searched.

    Args:
        table: pinned to a version.
        embed_queries: texts → vectors of the model that embedded the table.
    """

    def __init__(self, table: LanceTable, embed_queries: EmbedQueries) -> None:
        self._table = table
        self._embed_queries = embed_queries
        self._columns = [name for name in table.schema.names if name != "vector"]
        self._distance: Literal["l2", "cosine", "dot"] = read_metadata(table.schema)["distance"]

    def search(self, text: str, k: int = 10, mode: Mode = "hybrid", where: str | None = None) -> list[Hit]:
        """The k best chunks, best first.

        Args:
            text: the question, in natural language; no query syntax.
            k: hits wanted, at most.
            mode: vector, text or hybrid.
            where: SQL condition on columns of the table, applied before the search.

        Raises:
            InvalidQuery: question, k or mode cannot be searched for.
            InvalidFilter: the condition does not fit the table, or would cost too much.
            IndexUnavailable: the store does not answer, or with a condition not within ``FILTER_SECONDS``.
        """
        k, mode = checked_hits(k), checked_mode(mode)
        legs: tuple[Leg, ...] = LEGS if mode == "hybrid" else (mode,)
        with translated("search the index"):
            rankings = [self.rank([text], leg, max(k, DEPTH), where)[0] for leg in legs]
        return (fuse(rankings) if mode == "hybrid" else rankings[0])[:k]

    def rank(self, texts: Sequence[str], leg: Leg, depth: int, where: str | None = None) -> list[list[Hit]]:
        """What one leg finds for each question, best first, ``depth`` at most. They are embedded together.

        A question without a word finds nothing. Raises what ``search`` raises.
        """
        condition = None if where is None else enclosed(where, self._columns)
        asked = [text for text in map(checked_question, texts) if text.strip()]
        with ThreadPoolExecutor(AT_ONCE) as pool:  # a query leaves cores idle, and waits for object storage
            if leg == "text":
                found = pool.map(lambda text: self._by_text(text, depth, condition), asked)
            else:
                vectors = self._embed_queries(asked) if asked else ()
                found = pool.map(lambda vector: self._by_vector(vector, depth, condition), vectors)
            return [next(found) if text.strip() else [] for text in texts]

    def _by_vector(self, vector: NDArray[np.float32], k: int, condition: str | None) -> list[Hit]:
        query = self._table.search(vector, vector_column_name="vector").distance_type(self._distance)
        query = query.refine_factor(REFINE).limit(k).select([*COLUMNS, "_distance"])
        return self._hits(query, condition, lambda row: -float(row["_distance"]))[:k]

    def _by_text(self, text: str, k: int, condition: str | None) -> list[Hit]:
        from lancedb.query import BooleanQuery, MatchQuery, Occur

        # Objects, not query syntax: a quote in a question is a quote.
        columns = ("text", "heading_path")
        match = BooleanQuery([(Occur.SHOULD, MatchQuery(text, column)) for column in columns])  # type: ignore[call-arg]
        query = self._table.search(match, query_type="fts").limit(k).select([*COLUMNS, "_score"])
        return self._hits(query, condition, lambda row: float(row["_score"]))[:k]

    def _hits(self, query: Any, condition: str | None, score: Callable[[dict[str, Any]], float]) -> list[Hit]:
        if condition is None:
            rows = query.to_arrow()
        else:
            try:
                rows = query.where(condition, prefilter=True).to_arrow(
                    timeout=timedelta(seconds=FILTER_SECONDS)
                )
            except (RuntimeError, ValueError) as error:
                reason = mistake_in(error)
                if reason is None:
                    raise
                raise refused(condition[1:-1], reason, self._columns) from error
        found = [
            Hit(
                chunk_id=row["chunk_id"],
                document_id=row["document_id"],
                text=row["text"],
                heading_path=tuple(row["heading_path"] or ()),
                score=score(row),
                title=row["title"] or "",
                uri=row["uri"] or "",
                metadata=row["metadata"] or "{}",
            )
            for row in rows.to_pylist()
        ]
        return sorted(found, key=lambda hit: (-hit.score, hit.chunk_id))


class BatchSearch:
    """Searches many questions in one mode after the other; each leg is asked once.

    Args:
        index: what to search.
    """

    def __init__(self, index: PinnedIndex) -> None:
        self._index = index
        self._asked: tuple[tuple[str, ...], int] = ((), 0)
        self._rankings: dict[Leg, list[list[Hit]]] = {}

    def __call__(self, texts: Sequence[str], mode: Mode, k: int) -> list[list[Hit]]:
        """The k best chunks for each question, best first. Raises InvalidQuery."""
        k, mode = checked_hits(k), checked_mode(mode)
        asked = (tuple(texts), max(k, DEPTH))
        if asked != self._asked:
            self._asked, self._rankings = asked, {}
        if mode == "hybrid":
            pairs = zip(*(self._leg(leg) for leg in LEGS), strict=True)
            return [fuse(pair)[:k] for pair in pairs]
        return [hits[:k] for hits in self._leg(mode)]

    def _leg(self, leg: Leg) -> list[list[Hit]]:
        if leg not in self._rankings:
            with translated("search the index"):
                self._rankings[leg] = self._index.rank(self._asked[0], leg, self._asked[1])
        return self._rankings[leg]


def fuse(rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Reciprocal rank fusion of ranked lists; the score is the sum of 1 / (60 + rank)."""
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            scores[hit.chunk_id] = scores.get(hit.chunk_id, 0.0) + 1.0 / (RRF_K + rank)
            hits.setdefault(hit.chunk_id, hit)
    ordered = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
    return [hits[chunk_id].scored(scores[chunk_id]) for chunk_id in ordered]
