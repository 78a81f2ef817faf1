"""Stage: bring the snapshot up to the sources.

listings → new, changed, unchanged, vanished → bytes of what may have changed → content keys →
parse what no store holds → next snapshot. Parsed documents are kept by the hash of their
bytes, so a rename, a copy or a revert parses nothing.

Run alone: ``update_documents(objects, corpus, sources)``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import polars as pl

from rag_assets import corpus as models
from rag_assets.errors import QuarantineExceeded, printable
from rag_assets.ingest.parsing.batch import (
    DocumentCounts,
    document_store,
    limits_of,
    parse_batch,
    warnings_of,
)
from rag_assets.ingest.parsing.document import LIMIT_REASONS
from rag_assets.ingest.parsing.parse import parser_fingerprint
from rag_assets.ingest.parsing.pool import ParserPool
from rag_assets.ingest.parsing.reading import READERS, Listed, batches_of, read_batch
from rag_assets.ingest.sources.diff import compare
from rag_assets.ingest.sources.source import Source
from rag_assets.store.ahead import ahead
from rag_assets.store.content import ContentStore
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import EMPTY, QUARANTINED, Snapshot, SnapshotStore
from rag_assets.store.snapshots import SCHEMA as SNAPSHOT_SCHEMA

NAMED_DOCUMENTS = 5

Processed = tuple[pl.DataFrame, list[str]]
"""Snapshot rows of some documents, and the ids of those that were gone when they were to be read."""
Process = Callable[[Sequence[Listed], DocumentCounts], Iterator[Processed]]
"""Reads and parses documents, commits what was parsed, and counts what it did."""


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
    process: Process | None = None,
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
        process: reads and parses; None does it here.

    Returns:
        The snapshot that now holds (the previous one if nothing changed) and what was done.
    """
    snapshots = SnapshotStore(objects, corpus.name)
    previous = snapshots.latest()
    limits = limits_of(corpus)
    erased = ErasureLog(objects, corpus.name).erased()
    if previous.number == 0 or not snapshots.is_latest(previous):
        only = None  # the record of what came last is damaged: what it knew must be found again
    try:
        known = snapshots.rows(previous) if only is None else snapshots.rows_of(previous, only)
    except ObjectLost as error:
        warn(f"{error}. All documents are read, and what is not in the store is parsed")
        previous, only = replace(EMPTY, number=previous.number), None
        known = snapshots.rows(previous)
    if only is None:
        facts = {"limits": limits}
        listed = [(prefix, source, item) for prefix, source in sources for item in source.list()]
    else:
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
    frames: list[pl.DataFrame] = []
    vanished: list[str] = []
    for rows, gone in (process or process_here(objects, corpus))(wanted, counts):
        frames.append(rows)
        vanished += gone
        advance(sum(frame.height for frame in frames), len(wanted))
    upserts = pl.concat([pl.DataFrame(schema=SNAPSHOT_SCHEMA), *frames])
    known_ids = known["document_id"]
    removed = pl.concat([comparison.vanished, pl.Series(vanished, dtype=pl.String)])
    removed = removed.filter(removed.is_in(known_ids.implode()))
    _count_changes(counts, known, upserts, removed)
    _tell_warnings(corpus.name, upserts, counts)
    return snapshots.commit(previous, upserts, removed, facts), counts


def restore_texts(
    objects: ObjectStore,
    corpus: models.Corpus,
    sources: Sequence[tuple[str, Source]],
    documents: pl.DataFrame,
) -> None:
    """Read and parse documents again whose parsed text was lost from the store; the snapshot stays as it is.

    Args:
        objects: the store.
        corpus: the corpus file.
        sources: (prefix, source) of each source.
        documents: those whose text is needed (columns of ``snapshots.READABLE``). What has changed in its
            source since the snapshot stays lost until the next run, which finds it changed.
    """
    lost: list[str] = []
    for (format,), part in documents.group_by(["format"], maintain_order=True):
        missing = document_store(objects, str(format)).missing(part["content_key"])
        lost.extend(part.filter(pl.col("content_key").is_in(missing.implode()))["document_id"])
    if lost:
        warn(f"{corpus.name}: {len(lost)} parsed texts were lost, e.g. of {lost[0]!r}; they are parsed again")
        for _ in process_here(objects, corpus)(_find(sources, lost), DocumentCounts()):
            pass


def process_here(objects: ObjectStore, corpus: models.Corpus) -> Process:
    """Reading and parsing on this machine."""

    def process(wanted: Sequence[Listed], counts: DocumentCounts) -> Iterator[Processed]:
        stores: dict[str, ContentStore] = {}
        limits = limits_of(corpus)
        with ParserPool(corpus.parsing) as pool:
            parts = batches_of(wanted, corpus.parsing.max_bytes)
            for batch, gone in ahead(read_batch(part, corpus.parsing.max_bytes) for part in parts):
                rows = parse_batch(objects, stores, pool, batch, limits, counts)
                for store in stores.values():
                    store.maintain()
                yield rows, gone

    return process


def _find(sources: Sequence[tuple[str, Source]], ids: Collection[str]) -> list[Listed]:
    """What a listing of all sources would hold of some documents."""

    def find(entry: tuple[str, Source, str]) -> Listed | None:
        prefix, source, document = entry
        item = source.find(document)
        return None if item is None else (prefix, source, item)

    places = [(prefix, source, document) for document in sorted(set(ids)) for prefix, source in sources]
    with ThreadPoolExecutor(READERS) as pool:
        return [found for found in pool.map(find, places) if found is not None]


def _document_id(entry: Listed) -> str:
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


def _tell_warnings(corpus: str, upserts: pl.DataFrame, counts: DocumentCounts) -> None:
    """Count and log the documents of which something was cut or left out."""
    warnings = warnings_of(upserts)
    counts.warned = len(warnings)
    if warnings:
        named = "".join(f"\n  {name}: {' '.join(warnings[name])}" for name in [*warnings][:NAMED_DOCUMENTS])
        warn(printable(f"{corpus}: {len(warnings)} documents were read with warnings, e.g.{named}"))


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
