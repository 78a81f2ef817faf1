"""Which documents may have changed: two listings in, four sets of document ids out. No I/O.

A moved document shows here as one new and one vanished id: only the content hash, known after
reading, can tell a move.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rag_assets.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Comparison:
    """A listing against the previous one. Each id of either listing is in exactly one series.

    Attributes:
        new: listed now and not before.
        changed: listed in both, with different versions: to be read.
        unchanged: listed in both with the same version: not to be read.
        vanished: listed before and not now.
    """

    new: pl.Series
    changed: pl.Series
    unchanged: pl.Series
    vanished: pl.Series


def compare(listing: pl.DataFrame, previous: pl.DataFrame) -> Comparison:
    """Compare two listings by ``document_id`` and ``version`` (further columns are ignored).

    Args:
        listing: what the sources hold now; its order is kept.
        previous: what the last snapshot holds. A null version counts as changed.

    Raises:
        ConfigurationError: if a document id occurs twice in ``listing``.
    """
    now = listing.select("document_id", "version")
    before = previous.select("document_id", known="version")
    repeated = now.filter(pl.col("document_id").is_duplicated())
    if repeated.height:
        raise ConfigurationError(
            f"document id {repeated['document_id'][0]!r} comes from two places; "
            "give the sources of the corpus prefixes under which no ids meet"
        )
    both = now.join(before, on="document_id", how="inner", maintain_order="left")
    same = (pl.col("version") == pl.col("known")).fill_null(False)
    return Comparison(
        new=now.join(before, on="document_id", how="anti", maintain_order="left")["document_id"],
        changed=both.filter(~same)["document_id"],
        unchanged=both.filter(same)["document_id"],
        vanished=before.join(now, on="document_id", how="anti", maintain_order="left")["document_id"],
    )
