"""One batch of documents: bytes → content keys → parse what no store holds → snapshot rows.

Parsed documents are kept by the hash of their bytes, so a rename, a copy or a revert parses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from rag_assets import corpus as models
from rag_assets.ingest.parsing.document import LIMIT_REASONS, WARNINGS, ParsedDocument, Rejection
from rag_assets.ingest.parsing.formats import format_of
from rag_assets.ingest.parsing.parse import parser_fingerprint
from rag_assets.ingest.parsing.pool import ParserPool
from rag_assets.ingest.sources.source import SourceObject
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest, fingerprint
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import OK, QUARANTINED
from rag_assets.store.snapshots import SCHEMA as SNAPSHOT_SCHEMA

SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "text_key": pl.String(),
        "text": pl.String(),
        "title": pl.String(),
        "metadata": pl.String(),
        "reason": pl.String(),  # null when parsed
        "detail": pl.String(),
        "limits": pl.String(),  # limits under which it was rejected: others may let it pass
    }
)
OUTCOME = ("text_key", "title", "metadata", "reason", "detail")


@dataclass(slots=True)
class DocumentCounts:
    """What one run of the stage found and did.

    Attributes:
        new: without what was moved.
        warned: documents among those read of which something was cut or left out.
    """

    listed: int = 0
    new: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    read: int = 0
    parsed: int = 0
    reused: int = 0
    warned: int = 0
    bytes_read: int = 0


@dataclass(frozen=True)
class Read:
    """A listed object after reading: bytes, or why there are none."""

    item: SourceObject
    source: str
    format: str | None
    key: str | None
    data: bytes | None
    rejection: Rejection | None


def document_store(objects: ObjectStore, format: str) -> ContentStore:
    """Parsed documents of one format, keyed by the hash of the raw bytes."""
    return ContentStore(objects, "documents", parser_fingerprint(format), SCHEMA, {"format": format})


def limits_of(corpus: models.Corpus) -> str:
    """Fingerprint of the settings under which documents are rejected: others may let them pass."""
    return fingerprint(corpus.parsing.model_dump(include={"timeout_seconds", "memory_mb", "max_bytes"}))


def parse_batch(
    objects: ObjectStore,
    stores: dict[str, ContentStore],
    pool: ParserPool,
    batch: list[Read],
    limits: str,
    counts: DocumentCounts,
) -> pl.DataFrame:
    """Snapshot rows of one batch; documents that no store holds are parsed and committed first.

    ``maintain`` of the stores is left to the caller: of many who write into one store, one tidies up.
    """
    parsed: list[pl.DataFrame] = []
    for format in sorted({found.format for found in batch if found.format and found.data is not None}):
        store = stores.setdefault(format, document_store(objects, format))
        data = {found.key: found.data for found in batch if found.format == format and found.key}
        keys = pl.Series("key", list(data), dtype=pl.String)
        present = store.collect(keys, ("text_key", "title", "metadata", "reason", "detail", "limits"))
        present = present.filter(~_under_other_limits(limits))
        missing = [key for key in data if key not in set(present["key"])]
        parsed.append(_outcomes(present, format))
        if missing:
            outcomes = pool.parse((key, format, data[key] or b"") for key in missing)
            rows = pl.DataFrame([_row(key, outcome, limits) for key, outcome in outcomes], schema=SCHEMA)
            stale = store.missing(rows["key"]).len() < rows.height
            if stale:
                store.drop(rows["key"])
            store.commit(rows)
            parsed.append(_outcomes(rows, format))
        counts.parsed += len(missing)
        counts.reused += sum(found.format == format and found.data is not None for found in batch) - len(
            missing
        )
    counts.read += sum(found.data is not None for found in batch)
    counts.bytes_read += sum(len(found.data) for found in batch if found.data is not None)
    return _snapshot_rows(batch, parsed)


def warnings_of(rows: pl.DataFrame) -> dict[str, list[str]]:
    """Document id → its warnings, for those among snapshot rows that have any."""
    found = rows.filter(pl.col("metadata").str.contains(f'"{WARNINGS}"', literal=True))
    parsed = (
        (name, json.loads(metadata)) for name, metadata in found.select("document_id", "metadata").iter_rows()
    )
    return {name: metadata[WARNINGS] for name, metadata in parsed if WARNINGS in metadata}


def to_replace(
    objects: ObjectStore, stores: dict[str, ContentStore], batch: list[Read], limits: str
) -> set[tuple[str, str]]:
    """(format, key) of documents that were rejected under other limits: ``parse_batch`` drops such rows.

    Nobody else may write while rows are dropped, so that those who write at the same time leave these out.
    """
    found: set[tuple[str, str]] = set()
    for format in {read.format for read in batch if read.format and read.key}:
        store = stores.setdefault(format, document_store(objects, format))
        keys = [read.key for read in batch if read.format == format and read.key]
        rows = store.collect(pl.Series("key", keys, dtype=pl.String), ("reason", "limits"))
        found |= {(format, key) for key in rows.filter(_under_other_limits(limits))["key"]}
    return found


def _under_other_limits(limits: str) -> pl.Expr:
    """A rejection by limits holds only for those limits."""
    return (pl.col("reason").is_in(list(LIMIT_REASONS)) & (pl.col("limits") != limits)).fill_null(False)


def _snapshot_rows(batch: list[Read], parsed: list[pl.DataFrame]) -> pl.DataFrame:
    listed = pl.DataFrame(
        [
            {
                "document_id": found.item.document_id,
                "source": found.source,
                "uri": found.item.uri,
                # What could not be read is read again next time.
                "version": None
                if found.rejection and found.rejection.reason == "unreadable"
                else found.item.version,
                "format": found.format,
                "parser": parser_fingerprint(found.format) if found.format else None,
                "bytes": found.item.size,
                "modified": found.item.modified,
                "content_key": found.key,
                "rejected": found.rejection.reason if found.rejection else None,
                "rejected_detail": found.rejection.detail if found.rejection else None,
            }
            for found in batch
        ],
        schema={
            **{
                name: SNAPSHOT_SCHEMA[name]
                for name in ("document_id", "source", "uri", "version", "format", "parser")
            },
            **{name: SNAPSHOT_SCHEMA[name] for name in ("bytes", "modified", "content_key")},
            "rejected": pl.String,
            "rejected_detail": pl.String,
        },
    )
    empty = pl.DataFrame(schema=dict.fromkeys(("key", "format", *OUTCOME), pl.String))
    # The same bytes under two extensions are two documents for two parsers.
    outcome = pl.concat([empty, *parsed]).unique(["key", "format"])
    rows = listed.join(
        outcome,
        left_on=["content_key", "format"],
        right_on=["key", "format"],
        how="left",
        maintain_order="left",
    )
    return (
        rows.with_columns(
            reason=pl.coalesce("rejected", "reason"), detail=pl.coalesce("rejected_detail", "detail")
        )
        .with_columns(
            status=pl.when(pl.col("reason").is_null()).then(pl.lit(OK)).otherwise(pl.lit(QUARANTINED))
        )
        .select(SNAPSHOT_SCHEMA.names())
    )


def _outcomes(rows: pl.DataFrame, format: str) -> pl.DataFrame:
    return rows.select("key", pl.lit(format).alias("format"), *OUTCOME)


def _row(key: str, outcome: ParsedDocument | Rejection, limits: str) -> dict[str, str | None]:
    if isinstance(outcome, Rejection):
        row: dict[str, str | None] = dict.fromkeys(SCHEMA.names())
        return row | {"key": key, "reason": outcome.reason, "detail": outcome.detail, "limits": limits}
    warned = {WARNINGS: list(outcome.warnings)} if outcome.warnings else {}
    return {
        "key": key,
        "text_key": digest(outcome.text),
        "text": outcome.text,
        "title": outcome.title,
        "metadata": json.dumps({**outcome.metadata, **warned}, sort_keys=True, ensure_ascii=False),
        "reason": None,
        "detail": None,
        "limits": None,
    }


def parse_ahead(
    objects: ObjectStore, corpus: models.Corpus, contents: Sequence[tuple[str, str, bytes]]
) -> dict[str, str]:
    """Parse what was sent before it takes the place of what is there. The results are kept: nothing is parsed twice.

    Args:
        objects: the store.
        corpus: the corpus file.
        contents: document id, extension of its parser, content.

    Returns:
        Document id → why it cannot be read, for those that cannot.
    """
    found: dict[str, str] = {}
    batch: list[Read] = []
    for document, extension, data in contents:
        if len(data) > corpus.parsing.max_bytes:
            found[document] = (
                f"oversized: {len(data)} bytes; parsing.max_bytes allows {corpus.parsing.max_bytes}"
            )
            continue
        item = SourceObject(document, f"content{extension}", "", len(data), datetime.now(UTC))
        batch.append(Read(item, "", format_of(item.uri), digest(data), data, None))
    if not batch:
        return found
    stores: dict[str, ContentStore] = {}
    with ParserPool(corpus.parsing) as pool:
        rows = parse_batch(objects, stores, pool, batch, limits_of(corpus), DocumentCounts())
    for store in stores.values():
        store.maintain()
    rejected = rows.filter(pl.col("status") == QUARANTINED).select("document_id", "reason", "detail")
    return found | {document: f"{reason}: {detail}" for document, reason, detail in rejected.iter_rows()}
