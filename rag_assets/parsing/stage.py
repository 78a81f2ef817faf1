"""Stage: bring the snapshot up to the sources.

listings → new, changed, unchanged, vanished → bytes of what may have changed → content keys →
parse what no store holds → next snapshot. Parsed documents are kept by the hash of their
bytes, so a rename, a copy or a revert parses nothing.

Run alone: ``update_documents(objects, corpus, sources, pool)``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from rag_assets import corpus as models
from rag_assets.errors import QuarantineExceeded, SourceObjectUnreadable, SourceObjectVanished
from rag_assets.parsing.document import LIMIT_REASONS, ParsedDocument, Rejection
from rag_assets.parsing.formats import format_of
from rag_assets.parsing.parse import parser_fingerprint
from rag_assets.parsing.pool import ParserPool
from rag_assets.sources.diff import compare
from rag_assets.sources.source import Source, SourceObject
from rag_assets.store.content import ContentStore
from rag_assets.store.digest import digest, fingerprint
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import OK, QUARANTINED, Snapshot, SnapshotStore
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
BATCH_DOCUMENTS = 1024
BATCH_BYTES = 16_000_000
OUTCOME = ("text_key", "title", "metadata", "reason", "detail")
NAMED_DOCUMENTS = 5
READERS = 16  # concurrent reads: an S3 source answers in tens of milliseconds


@dataclass(slots=True)
class DocumentCounts:
    """What one run of the stage found and did. ``new`` leaves out what was moved."""

    listed: int = 0
    new: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    read: int = 0
    parsed: int = 0
    reused: int = 0
    bytes_read: int = 0


@dataclass(frozen=True)
class _Read:
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


def check_quarantine(snapshots: SnapshotStore, snapshot: Snapshot, parsing: models.Parsing) -> None:
    """Raise QuarantineExceeded, naming some of them, when too large a share of the documents is quarantined."""
    total = snapshot.documents + snapshot.quarantined
    share = snapshot.quarantined / total if total else 0.0
    if share > parsing.max_quarantined_share:
        rejected = snapshots.quarantined(snapshot).head(NAMED_DOCUMENTS)
        named = "".join(
            f"\n  {name}: {reason}: {detail}"
            for name, reason, detail in rejected.select("document_id", "reason", "detail").iter_rows()
        )
        raise QuarantineExceeded(
            f"{snapshot.quarantined} of {total} documents ({share:.1%}) are quarantined; "
            f"parsing.max_quarantined_share allows {parsing.max_quarantined_share:.1%}. Mend or exclude them "
            f"(rag-assets status lists them), or raise the share:{named}"
        )


def update_documents(
    objects: ObjectStore,
    corpus: models.Corpus,
    sources: Sequence[tuple[str, Source]],
    *,
    only: Collection[str] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Snapshot, DocumentCounts]:
    """List the sources, read and parse what may have changed, and commit the next snapshot.

    Erased documents count as absent, whatever the sources hold.

    Args:
        objects: the store.
        corpus: the corpus file.
        sources: (prefix, source) of each source.
        only: ids of the documents that may have changed; nothing else is listed, read or compared.
            None lists everything. A corpus without a snapshot is listed whatever is named.
        advance: told how many of how many changed documents have been dealt with.

    Returns:
        The snapshot that now holds (the previous one if nothing changed) and what was done.
    """
    snapshots = SnapshotStore(objects, corpus.name)
    previous = snapshots.latest()
    limits = _limits(corpus)
    erased = ErasureLog(objects, corpus.name).erased()
    if only is None or previous.number == 0:
        known = snapshots.rows(previous)
        facts = {"limits": limits}
        listed = [(prefix, source, item) for prefix, source in sources for item in source.list()]
    else:
        known = snapshots.rows_of(previous, only)
        facts = dict(
            previous.facts
        )  # the limits count as applied when everything has been looked at under them
        listed = _find(sources, only)
    if previous.facts.get("limits") != limits:
        # Other limits: what was rejected because of the old ones is tried again.
        retry = known["reason"].is_in(list(LIMIT_REASONS)) & (known["status"] == QUARANTINED)
        known = known.with_columns(version=pl.when(retry).then(None).otherwise("version"))
    known = _parser_current(known)
    listed = [entry for entry in listed if entry[2].document_id not in erased]
    listing = pl.DataFrame(
        [(item.document_id, item.version) for _, _, item in listed],
        schema={"document_id": pl.String, "version": pl.String},
        orient="row",
    )
    comparison = compare(listing, known)
    to_read = {*comparison.new, *comparison.changed}
    # In the order in which every later stage goes through documents: what is read together lies together.
    wanted = sorted((entry for entry in listed if entry[2].document_id in to_read), key=_document_id)
    del listed
    counts = DocumentCounts(listed=listing.height, unchanged=comparison.unchanged.len())
    stores: dict[str, ContentStore] = {}
    frames: list[pl.DataFrame] = []
    vanished: list[str] = []
    with ParserPool(corpus.parsing) as pool:
        for batch in _read_batches(wanted, corpus.parsing.max_bytes, vanished):
            frames.append(_parse_batch(objects, stores, pool, batch, limits, counts))
            advance(sum(frame.height for frame in frames), len(wanted))
    upserts = pl.concat([pl.DataFrame(schema=SNAPSHOT_SCHEMA), *frames])
    known_ids = known["document_id"]
    removed = pl.concat([comparison.vanished, pl.Series(vanished, dtype=pl.String)])
    removed = removed.filter(removed.is_in(known_ids.implode()))
    _count_changes(counts, known, upserts, removed)
    return snapshots.commit(previous, upserts, removed, facts), counts


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
    batch: list[_Read] = []
    for document, extension, data in contents:
        if len(data) > corpus.parsing.max_bytes:
            found[document] = (
                f"oversized: {len(data)} bytes; parsing.max_bytes allows {corpus.parsing.max_bytes}"
            )
            continue
        item = SourceObject(document, f"content{extension}", "", len(data), datetime.now(UTC))
        batch.append(_Read(item, "", format_of(item.uri), digest(data), data, None))
    if not batch:
        return found
    with ParserPool(corpus.parsing) as pool:
        rows = _parse_batch(objects, {}, pool, batch, _limits(corpus), DocumentCounts())
    rejected = rows.filter(pl.col("status") == QUARANTINED).select("document_id", "reason", "detail")
    return found | {document: f"{reason}: {detail}" for document, reason, detail in rejected.iter_rows()}


def _limits(corpus: models.Corpus) -> str:
    return fingerprint(corpus.parsing.model_dump(include={"timeout_seconds", "memory_mb", "max_bytes"}))


def _find(
    sources: Sequence[tuple[str, Source]], ids: Collection[str]
) -> list[tuple[str, Source, SourceObject]]:
    """What a listing of all sources would hold of some documents."""

    def find(entry: tuple[str, Source, str]) -> tuple[str, Source, SourceObject] | None:
        prefix, source, document = entry
        item = source.find(document)
        return None if item is None else (prefix, source, item)

    places = [(prefix, source, document) for document in sorted(set(ids)) for prefix, source in sources]
    with ThreadPoolExecutor(READERS) as pool:
        return [found for found in pool.map(find, places) if found is not None]


def _document_id(entry: tuple[str, Source, SourceObject]) -> str:
    return entry[2].document_id


def _parser_current(known: pl.DataFrame) -> pl.DataFrame:
    """Forget the version of documents that another parser version read: they are parsed anew."""
    current = pl.DataFrame(
        [(format, parser_fingerprint(format)) for format in known["format"].drop_nulls().unique()],
        schema={"format": pl.String, "current": pl.String},
        orient="row",
    )
    stale = (pl.col("parser") != pl.col("current")).fill_null(False)
    return (
        known.join(current, on="format", how="left", maintain_order="left")
        .with_columns(version=pl.when(stale).then(None).otherwise("version"))
        .drop("current")
    )


def _read_batches(
    wanted: list[tuple[str, Source, SourceObject]], max_bytes: int, vanished: list[str]
) -> Iterator[list[_Read]]:
    """Read objects in batches bounded by number and bytes; ids that are gone are put into ``vanished``."""

    def read(entry: tuple[str, Source, SourceObject]) -> _Read | None:
        prefix, source, item = entry
        format = format_of(item.uri)
        rejection = None
        data = None
        if format is None:
            suffix = item.uri.rsplit("/", 1)[-1].rpartition(".")[2] if "." in item.uri else "none"
            rejection = Rejection("unsupported", f"no parser for files of this type (extension: {suffix})")
        elif item.size > max_bytes:
            rejection = Rejection("oversized", f"{item.size} bytes; parsing.max_bytes allows {max_bytes}")
        else:
            try:
                data = source.read(item)
            except SourceObjectVanished:
                vanished.append(item.document_id)
                return None
            except SourceObjectUnreadable as error:
                rejection = Rejection("unreadable", str(error))
        key = None if data is None else digest(data)
        return _Read(item, prefix, format, key, data, rejection)

    with ThreadPoolExecutor(READERS) as pool:
        start = 0
        while start < len(wanted):
            size, end = 0, start
            while (
                end < len(wanted) and end - start < BATCH_DOCUMENTS and (size < BATCH_BYTES or end == start)
            ):
                size += min(wanted[end][2].size, max_bytes)
                end += 1
            yield [found for found in pool.map(read, wanted[start:end]) if found is not None]
            start = end


def _parse_batch(
    objects: ObjectStore,
    stores: dict[str, ContentStore],
    pool: ParserPool,
    batch: list[_Read],
    limits: str,
    counts: DocumentCounts,
) -> pl.DataFrame:
    """Snapshot rows of one batch; documents that no store holds are parsed and committed first."""
    parsed: list[pl.DataFrame] = []
    for format in sorted({found.format for found in batch if found.format and found.data is not None}):
        store = stores.setdefault(format, document_store(objects, format))
        data = {found.key: found.data for found in batch if found.format == format and found.key}
        keys = pl.Series("key", list(data), dtype=pl.String)
        present = store.collect(keys, ("text_key", "title", "metadata", "reason", "detail", "limits"))
        # A rejection by limits holds only for those limits.
        present = present.filter(
            ~(pl.col("reason").is_in(list(LIMIT_REASONS)) & (pl.col("limits") != limits)).fill_null(False)
        )
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
        counts.reused += sum(found.format == format for found in batch) - len(missing)
        store.maintain()
    counts.read += sum(found.data is not None for found in batch)
    counts.bytes_read += sum(len(found.data) for found in batch if found.data is not None)
    return _snapshot_rows(batch, parsed)


def _snapshot_rows(batch: list[_Read], parsed: list[pl.DataFrame]) -> pl.DataFrame:
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
    return {
        "key": key,
        "text_key": digest(outcome.text),
        "text": outcome.text,
        "title": outcome.title,
        "metadata": json.dumps(outcome.metadata, sort_keys=True, ensure_ascii=False),
        "reason": None,
        "detail": None,
        "limits": None,
    }


def _count_changes(
    counts: DocumentCounts, known: pl.DataFrame, upserts: pl.DataFrame, removed: pl.Series
) -> None:
    """Tell new, changed, touched (same bytes) and moved documents apart by their content keys."""
    both = upserts.join(known, on="document_id", how="inner", suffix="_known", nulls_equal=True)
    touched = both.filter(pl.col("content_key").eq_missing(pl.col("content_key_known"))).height
    counts.changed = both.height - touched
    counts.unchanged += touched
    fresh = upserts.join(known, on="document_id", how="anti")["content_key"].drop_nulls()
    gone = known.filter(pl.col("document_id").is_in(removed.implode()))["content_key"].drop_nulls()
    arrivals = fresh.value_counts(name="arrived")
    departures = gone.value_counts(name="left")
    pairs = arrivals.join(departures, on="content_key", how="inner")
    counts.moved = int(pairs.select(pl.min_horizontal("arrived", "left").sum()).item())
    counts.new = upserts.height - both.height - counts.moved
    counts.deleted = removed.len() - counts.moved
