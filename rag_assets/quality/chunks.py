"""Profile of the chunks: documents with their chunks, in batches → figures, histogram, sample."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from rag_assets.quality.profile import Profile, length_histogram, quantiles, share, smallest

CHUNK_COLUMNS = ("embedding_key", "text", "heading_path", "start", "end", "tokens")
"""What is needed of the chunk store: parallel lists, one entry per chunk."""
TEXT_SHOWN = 2000
SAMPLE = pl.Schema(
    {
        "embedding_key": pl.String(),
        "document_id": pl.String(),
        "text": pl.String(),
        "heading_path": pl.String(),
        "start": pl.Int64(),
        "end": pl.Int64(),
        "tokens": pl.Int32(),
    }
)
_COUNTED = ("empty_chunks", "wrong_offsets", "duplicate_chunks", "over_limit_chunks")


def profile_chunks(batches: Iterable[pl.DataFrame], max_tokens: int) -> tuple[Profile, pl.DataFrame]:
    """Profile the chunks of a snapshot. 20 bytes of each chunk are kept, besides the sample.

    Args:
        batches: document_id and ``CHUNK_COLUMNS``, one row per document, each whole in one batch; null
            lists where the chunk store has no entry for the document.
        max_tokens: the chunker's limit.
    """
    counts = dict.fromkeys(
        ("documents", "unchunked_documents", "chunkless_documents", "chunks", *_COUNTED), 0
    )
    tokens = [pl.Series(dtype=pl.Int32)]
    per_document = [pl.Series(dtype=pl.UInt32)]
    identities = [pl.Series(dtype=pl.Int64)]
    sample = pl.DataFrame(schema=SAMPLE)
    for batch in batches:
        lengths = batch["embedding_key"].list.len()
        chunks = batch.filter(lengths > 0).explode(CHUNK_COLUMNS)
        counts["documents"] += batch.height
        counts["unchunked_documents"] += lengths.null_count()
        counts["chunkless_documents"] += int((lengths == 0).sum())
        counts["chunks"] += chunks.height
        for name, number in _faults(chunks, max_tokens).items():
            counts[name] += number
        tokens.append(chunks["tokens"])
        per_document.append(lengths.drop_nulls())
        # 60 bits of the hash: enough to tell texts apart, and a quarter of its length.
        identities.append(chunks["embedding_key"].str.slice(0, 15).str.to_integer(base=16))
        sample = smallest(sample, _shown(chunks), ("embedding_key", "document_id", "start"))
    all_tokens, every = pl.concat(tokens), pl.concat(identities)
    return Profile(
        stage="chunks",
        numbers={
            **counts,
            "repeated_share": share(int(every.is_duplicated().sum()), every.len()),
            **quantiles("tokens", all_tokens, "p05", "p50", "p95", "max"),
            **quantiles("chunks_per_document", pl.concat(per_document), "p50", "max"),
        },
        histograms={"length": length_histogram(all_tokens)},
    ), sample.drop("embedding_key")


def _faults(chunks: pl.DataFrame, max_tokens: int) -> dict[str, int]:
    place = ("document_id", "start", "end")
    start, end = pl.col("start"), pl.col("end")
    fits = (start >= 0) & (end - start == pl.col("text").str.len_chars())
    found = chunks.select(
        (pl.col("text").str.strip_chars() == "").sum().alias("empty_chunks"),
        (~fits).sum().alias("wrong_offsets"),
        pl.struct(place).is_duplicated().sum().alias("duplicate_chunks"),
        (pl.col("tokens") > max_tokens).sum().alias("over_limit_chunks"),
    )
    return {name: int(number) for name, number in found.row(0, named=True).items()}


def _shown(chunks: pl.DataFrame) -> pl.DataFrame:
    return chunks.select(
        "embedding_key",
        "document_id",
        pl.col("text").str.slice(0, TEXT_SHOWN),
        pl.col("heading_path").list.join(" › "),
        "start",
        "end",
        "tokens",
    )
