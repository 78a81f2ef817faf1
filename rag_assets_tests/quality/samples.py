"""Small tables of every stage, sound unless a test plants a fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from rag_assets.quality.texts import measure
from rag_assets.store.digest import digest

ENGLISH = "The tenant pays the rent on the first of the month, and the landlord repairs the heating."
TEXT_COLUMNS = ("document_id", "uri", "format", "title", "text_key", "status")
VOCABULARY = (
    "the tenant pays rent every month while landlord repairs heating windows doors and roof when winter "
    "comes because old houses lose warmth through thin walls so people write letters about it again"
)
GERMAN = "Der Mieter zahlt die Miete am ersten des Monats, und der Vermieter repariert die Heizung."


def prose(seed: int, words: int = 120) -> str:
    """English that no other seed gives."""
    rng = np.random.default_rng(seed)
    vocabulary = VOCABULARY.split()
    return " ".join(rng.choice(vocabulary, words)) + f" number {seed}."


def document_rows(texts: Sequence[str], ids: Sequence[str] | None = None) -> pl.DataFrame:
    """Snapshot rows of readable documents."""
    return pl.DataFrame(
        {
            "document_id": list(ids or (f"d{number}.md" for number in range(len(texts)))),
            "uri": [f"/corpus/d{number}.md" for number in range(len(texts))],
            "format": ["markdown"] * len(texts),
            "title": [f"Document {number}" for number in range(len(texts))],
            "text_key": [digest(text) for text in texts],
            "status": ["ok"] * len(texts),
        },
        schema_overrides=dict.fromkeys(TEXT_COLUMNS, pl.String()),
    )


def facts(texts: Sequence[str]) -> pl.DataFrame:
    """What the texts' store knows of them, each once."""
    distinct = list(dict.fromkeys(texts))
    frame = pl.DataFrame(
        {"key": [digest(text) for text in distinct], "text": distinct},
        schema_overrides={"key": pl.String, "text": pl.String},
    )
    return measure(frame)


def chunk_rows(documents: Sequence[tuple[str, Sequence[str] | None]]) -> pl.DataFrame:
    """Documents with the texts of their chunks; None: the chunk store has no entry."""
    rows: list[dict[str, Any]] = []
    for name, texts in documents:
        row: dict[str, Any] = {"document_id": name}
        if texts is not None:
            starts = [sum(len(text) + 2 for text in texts[:number]) for number in range(len(texts))]
            row |= {
                "embedding_key": [digest(text) for text in texts],
                "text": list(texts),
                "heading_path": [["Lease", "Rent"] for _ in texts],
                "start": starts,
                "end": [start + len(text) for start, text in zip(starts, texts, strict=True)],
                "tokens": [len(text.split()) for text in texts],
            }
        rows.append(row)
    schema = pl.Schema(
        {
            "document_id": pl.String(),
            "embedding_key": pl.List(pl.String),
            "text": pl.List(pl.String),
            "heading_path": pl.List(pl.List(pl.String)),
            "start": pl.List(pl.Int64),
            "end": pl.List(pl.Int64),
            "tokens": pl.List(pl.Int32),
        }
    )
    return pl.DataFrame(rows, schema=schema)


def vector_rows(
    vectors: Sequence[Sequence[float] | None], reasons: Sequence[str | None] | None = None
) -> pl.DataFrame:
    """One row per chunk of distinct texts."""
    return pl.DataFrame(
        {
            "key": [digest(f"text {number}") for number in range(len(vectors))],
            "vector": list(vectors),
            "reason": list(reasons or [None] * len(vectors)),
        },
        schema={"key": pl.String, "vector": pl.List(pl.Float32), "reason": pl.String},
    )


def directions(count: int, dimension: int = 8, seed: int = 0) -> list[list[float]]:
    """Vectors of length 1 in all directions."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: list[list[float]] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()
    return unit
