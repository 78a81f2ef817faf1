"""Profile of the documents: snapshot rows and the facts of their texts → figures, histograms, sample."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from rag_assets.quality.duplicates import SLOTS, near_duplicates
from rag_assets.quality.language import UNKNOWN
from rag_assets.quality.profile import SAMPLE_ROWS, Figure, Profile, length_histogram, quantiles, share
from rag_assets.store.snapshots import OK, QUARANTINED

ROW_COLUMNS = ("document_id", "uri", "format", "title", "text_key", "status")
"""What is needed of a snapshot's rows."""
FACTS = ("characters", "words", "language", "garbled", "signature", "beginning")
"""What is needed of each text (``texts.SCHEMA``)."""
_KEPT = pl.Schema(
    {"key": pl.String(), "characters": pl.Int32(), "language": pl.String(), "garbled": pl.Boolean()}
)
_SHOWN = pl.Schema({**_KEPT, "words": pl.Int32(), "beginning": pl.String()})
SAMPLE_COLUMNS = (
    "document_id",
    "uri",
    "format",
    "title",
    "characters",
    "words",
    "language",
    "garbled",
    "beginning",
)


def profile_documents(rows: pl.DataFrame, facts: Iterable[pl.DataFrame]) -> tuple[Profile, pl.DataFrame]:
    """Profile a snapshot's documents.

    Args:
        rows: one row per document (``ROW_COLUMNS``).
        facts: key and ``FACTS`` of their texts, in batches, each text once. Of each text 150 bytes are
            kept, its signature among them.

    Returns:
        The profile, and the sample (``SAMPLE_COLUMNS``).
    """
    readable = rows.filter(pl.col("status") == OK)
    chosen = readable.sort("text_key", "document_id").head(SAMPLE_ROWS)
    small = [pl.DataFrame(schema=_KEPT)]
    signed = [pl.DataFrame(schema={"key": pl.String, "signature": pl.Binary})]
    shown: list[tuple[object, ...]] = []
    for batch in facts:
        small.append(batch.select(_KEPT.names()))
        signed.append(batch.select("key", "signature").drop_nulls())
        wanted = batch.join(chosen.select(key="text_key").unique(), on="key", how="semi")
        shown += wanted.select(_SHOWN.names()).rows()
    texts = pl.concat(small)
    known = readable.join(texts, left_on="text_key", right_on="key", how="left")
    near = _nearly_same(pl.concat(signed))
    repeated = known["text_key"].is_duplicated()
    shape, histograms = _distributions(known)
    count = readable.height
    quarantined = rows.filter(pl.col("status") == QUARANTINED).height
    return Profile(
        stage="documents",
        numbers={
            "documents": count,
            "quarantined": quarantined,
            "quarantined_share": share(quarantined, rows.height),
            "duplicate_ids": int(rows["document_id"].is_duplicated().sum()),
            "dangling_texts": known["characters"].null_count(),
            "empty_share": share(int((known["characters"] == 0).sum()), count),
            "garbled_share": share(int(known["garbled"].sum()), count),
            "untitled_share": share(readable.filter(pl.col("title").fill_null("") == "").height, count),
            "exact_duplicate_share": share(int(repeated.sum()), count),
            "near_duplicate_share": share(
                int((repeated | known["text_key"].is_in(near.implode())).sum()), count
            ),
            **shape,
        },
        histograms=histograms,
    ), _sample(chosen, shown)


def _nearly_same(rows: pl.DataFrame) -> pl.Series:
    """Keys of texts that are nearly the same as another text."""
    joined = b"".join(rows["signature"])
    matrix = np.frombuffer(joined, dtype=np.uint8).reshape(rows.height, SLOTS)
    return rows["key"].filter(pl.Series(near_duplicates(matrix), dtype=pl.Boolean))


def _distributions(known: pl.DataFrame) -> tuple[dict[str, Figure], dict[str, dict[str, int]]]:
    measured = known.drop_nulls("characters")
    counts = measured.group_by("language").len().sort(["len", "language"], descending=[True, False])
    languages = {str(name): int(number) for name, number in counts.iter_rows()}
    main = next((name for name in languages if name != UNKNOWN), None)
    return {
        **quantiles("characters", measured["characters"], "p05", "p50", "p95", "max"),
        "main_language": main,
        "main_language_share": share(languages[main] if main else 0, measured.height),
        "unknown_language_share": share(languages.get(UNKNOWN, 0), measured.height),
    }, {"length": length_histogram(measured["characters"]), "language": languages}


def _sample(chosen: pl.DataFrame, shown: list[tuple[object, ...]]) -> pl.DataFrame:
    texts = pl.DataFrame(shown, schema=_SHOWN, orient="row")
    joined = chosen.join(texts, left_on="text_key", right_on="key", how="left", maintain_order="left")
    return joined.select(SAMPLE_COLUMNS)
