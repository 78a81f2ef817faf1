"""Full verification of what is published: every row against the snapshot and the content stores.

head of the log → its snapshot → chunks and vectors under the fingerprints it was built with → every row of
its version. Needs neither the corpus file nor a model, runs in bounded memory, and records its result, by
which the next run knows that it must write the index anew.

Run alone: ``verify_published(objects, "handbook")``.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
from pydantic import TypeAdapter
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from rag_assets import corpus as models
from rag_assets.errors import NotPublished, StageIncomplete, VerificationFailed
from rag_assets.index.base import Damage
from rag_assets.index.candidate import Spec
from rag_assets.index.rows import RowSource
from rag_assets.index.schema import read_filters
from rag_assets.index.sound import damaged_files
from rag_assets.index.table import IndexUnavailable, open_table
from rag_assets.index.verify import verify_all, verify_indexes
from rag_assets.ingest.chunking.stage import SCHEMA as CHUNKS
from rag_assets.ingest.embedding.stage import SCHEMA as EMBEDDINGS
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.record import Publication
from rag_assets.store.content import ContentStore
from rag_assets.store.files import json_bytes, read_record, warn
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import SnapshotStore

ATTEMPTS = 3


@dataclass(frozen=True)
class Verification:
    """What a full verification of a publication found.

    Attributes:
        publication: its number.
        candidate: id of what it published.
        time: when the verification ended, ISO 8601, UTC.
        seconds: that it took.
        documents: whose rows were compared.
        rows: that they demand.
        uncompared: documents whose chunks or vectors are not in the content stores any more.
        problem: what is wrong with the index, or None.
    """

    publication: int
    candidate: str
    time: str
    seconds: float
    documents: int
    rows: int
    uncompared: int
    problem: str | None


_RECORD = TypeAdapter(Verification)


def verify_published(objects: ObjectStore, corpus: str) -> Verification:
    """Compare every row that readers see with the stores, and record the result.

    Args:
        objects: the store.
        corpus: name of the corpus.

    Raises:
        NotPublished: nothing is published yet.
        StoreUnavailable: the store did not answer.
    """
    started = time.perf_counter()
    head = PublicationLog(objects, corpus).head()
    if head is None:
        raise NotPublished(f"{corpus}: nothing is published yet; there is nothing to verify")
    compared = _Compared()
    problem: str | None = None
    try:
        compared = _compare(objects, corpus, head)
    except (VerificationFailed, IndexUnavailable) as error:
        problem = str(error)
    found = Verification(
        publication=head.number,
        candidate=head.candidate,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - started, 3),
        **asdict(compared),
        problem=problem,
    )
    objects.put(_path(corpus), json_bytes(asdict(found)))
    return found


def is_due(objects: ObjectStore, corpus: str, days: float) -> bool:
    """Whether what is published has not been verified for so many days, nor was first published since then."""
    last = last_verification(objects, corpus)
    if last is None:
        retained = PublicationLog(objects, corpus).versions()
        if not retained:
            return False
        since = PublicationLog(objects, corpus).find(min(retained)).time
    else:
        since = last.time
    return datetime.now(UTC) - datetime.fromisoformat(since) >= timedelta(days=days)


def damage_of(objects: ObjectStore, corpus: str, head: Publication) -> Damage | None:
    """What is wrong with what is published, by its files and its last verification; None where nothing is known to be."""
    files = damaged_files(objects, corpus, head.version)
    if files:
        return Damage(f"has lost {files[0]} of its index", misled=False)
    last = verification_of(objects, corpus, head)
    if last is None or last.problem is None:
        return None
    return Damage(f"is damaged: {last.problem}", misled=True)


def verification_of(objects: ObjectStore, corpus: str, head: Publication) -> Verification | None:
    """The last full verification, if it was of this publication's content."""
    last = last_verification(objects, corpus)
    return last if last is not None and last.candidate == head.candidate else None


def damage_in_words(corpus: str, found: Verification) -> str | None:
    """What is wrong and what helps, in a sentence; None where nothing is."""
    if found.problem is None:
        return None
    return (
        f"publication {found.publication} is damaged: {found.problem}; rag-assets run {corpus} writes the index anew "
        "from the stores and publishes it"
    )


def last_verification(objects: ObjectStore, corpus: str) -> Verification | None:
    """The result of the last full verification; None before the first, and where its record was damaged."""
    if objects.info(_path(corpus)) is None:
        return None
    try:
        return read_record(objects, _path(corpus), _RECORD)
    except ObjectLost as error:
        warn(str(error))
        return None


@dataclass(frozen=True)
class _Compared:
    documents: int = 0
    rows: int = 0
    uncompared: int = 0


@retry(
    # Where the store of chunks was damaged, what was is left out the next time; or the store did not answer.
    retry=retry_if_exception_type((StageIncomplete, IndexUnavailable)),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)
def _compare(objects: ObjectStore, corpus: str, head: Publication) -> _Compared:
    """Raises VerificationFailed, IndexUnavailable."""
    every = _documents(objects, corpus, head.snapshot, head.spec)
    table = open_table(objects, corpus, at=head.version)
    if table is None:
        raise VerificationFailed("there is no table")
    source = _stores(objects, head.spec, read_filters(table.schema))
    whole = source.whole(every)
    left_out = every.join(whole, on="document_id", how="anti")["document_id"]
    rows = verify_all(table, source.contents(whole, table.schema), without=set(left_out))
    verify_indexes(table)
    return _Compared(whole.height, rows, left_out.len())


def _documents(objects: ObjectStore, corpus: str, number: int, spec: Spec) -> pl.DataFrame:
    snapshots = SnapshotStore(objects, corpus)
    snapshot = snapshots.find(number, spec.snapshot)
    if snapshot is None:
        raise VerificationFailed(f"the record of its snapshot {number} was lost: it cannot be compared")
    try:
        return snapshots.readable(snapshot)
    except ObjectLost as error:
        raise VerificationFailed(f"its snapshot {number} cannot be read: {error}") from error


def _stores(objects: ObjectStore, spec: Spec, filters: dict[str, models.FilterType]) -> RowSource:
    """Where its rows came from: the corpus file may name another chunker and model by now."""
    return RowSource(
        ContentStore(objects, "chunks", spec.chunker, CHUNKS, {}),
        ContentStore(objects, "embeddings", spec.embedder, EMBEDDINGS, {}),
        models.Index(filters=filters),
    )


def _path(corpus: str) -> str:
    return f"corpora/{corpus}/verification.json"
