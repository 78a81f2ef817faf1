"""What is known of each parsed text: length, language, signature. Computed once for each text.

(key, text) frames → ``measure_missing`` → content store by text key → ``documents.profile_documents``.
Detecting a language and signing a text cost more than reading them, so the work follows the
content as in every other stage: an unchanged, moved or copied text is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from rag_assets.quality.duplicates import signatures, words
from rag_assets.quality.language import detector, languages
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import fingerprint
from rag_assets.store.objects import ObjectStore

ALGORITHM = 1  # raise it with every change of what is computed here or in ``duplicates``
BEGINNING = 300
MEASURED_TOGETHER = 64  # texts: their words are in memory at once
SHARD_TEXTS = 2048

SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "characters": pl.Int32(),  # without white space at either end: 0 for a blank text
        "words": pl.Int32(),
        "language": pl.String(),
        "garbled": pl.Boolean(),
        "signature": pl.Binary(),  # null without words
        "beginning": pl.String(),
    }
)


def text_store(objects: ObjectStore) -> ContentStore:
    """Facts of texts by text key. Raises ConfigurationError when the extra ``quality`` is not installed."""
    return ContentStore(objects, "texts", texts_fingerprint(), SCHEMA, _about())


def texts_fingerprint() -> str:
    """Names what the facts of a text depend on, besides the text. Raises ConfigurationError as ``text_store``."""
    return fingerprint(_about())


def _about() -> dict[str, Any]:
    return {"algorithm": ALGORITHM, "language": detector()}


def measure_missing(store: ContentStore, texts: Iterable[pl.DataFrame]) -> int:
    """Measure texts and keep what was found, shard by shard. Returns how many.

    Args:
        store: see ``text_store``.
        texts: frames with columns key and text; keys that the store holds must be left out.
    """
    pending: list[pl.DataFrame] = []
    measured = 0
    for frame in texts:
        for part in frame.iter_slices(MEASURED_TOGETHER):
            pending.append(measure(part))
            measured += part.height
            if sum(rows.height for rows in pending) >= SHARD_TEXTS:
                store.commit(pl.concat(pending))
                pending.clear()
    if pending:
        store.commit(pl.concat(pending))
    store.maintain()
    return measured


def measure(texts: pl.DataFrame) -> pl.DataFrame:
    """Rows of the store for some texts (key, text)."""
    found = words(texts["text"])
    stripped = texts["text"].str.strip_chars()
    return texts.select(
        "key",
        stripped.str.len_chars().alias("characters"),
        found.list.len().alias("words"),
        languages(texts["text"]).alias("language"),
        texts["text"].str.contains("\ufffd", literal=True).alias("garbled"),
        signatures(found).alias("signature"),
        stripped.str.slice(0, BEGINNING).alias("beginning"),
    ).cast(SCHEMA)
