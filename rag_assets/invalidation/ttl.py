"""How long an answer may live, from how often its documents really changed.

change records of the retained publications → changes per document → rate → seconds. A purge
forgets what changed; the TTL bounds what no purge can know: that a new document would have made
a better answer, and that a notice never arrived.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import polars as pl

from rag_assets.corpus.invalidation import Ttl
from rag_assets.publication.log import PublicationLog
from rag_assets.store.objects import ObjectStore

KEPT_DOCUMENTS = 100_000  # documents with a TTL of their own, at most
_COUNTS = pl.Schema({"document_id": pl.String(), "changes": pl.Int64(), "since": pl.Float64()})


@dataclass(frozen=True, slots=True)
class Ttls:
    """Seconds that answers may live: ``default``, or less where a document changes more often."""

    default: int
    shorter: Mapping[str, int]

    def of(self, documents: Iterable[str]) -> int:
        """Seconds that an answer from these documents may live: those of the one that changes most often."""
        return min((self.shorter.get(document, self.default) for document in documents), default=self.default)


def count_changes(records: Iterable[tuple[float, pl.DataFrame]], start: float) -> pl.DataFrame:
    """How often documents changed: ``document_id``, ``changes`` and ``since`` (when it was first seen).

    Documents without a record are not in it, and those that are gone at the end neither.

    Args:
        records: (time in seconds, change record), the oldest first; holds one at a time and the counts.
        start: when the first record's predecessor was published, in seconds.
    """
    counts = pl.DataFrame(schema={**_COUNTS, "gone": pl.Boolean()})
    for time, record in records:
        later = record.select("document_id", later="change")
        counts = counts.join(later, on="document_id", how="full", coalesce=True).select(
            "document_id",
            # A document that goes and comes back is counted once, when it goes.
            changes=pl.col("changes").fill_null(0)
            + pl.col("later").is_in(["changed", "removed"]).fill_null(False).cast(pl.Int64),
            since=pl.when(pl.col("since").is_null())
            .then(pl.when(pl.col("later") == "added").then(pl.lit(time)).otherwise(pl.lit(start)))
            .otherwise("since"),
            gone=pl.when(pl.col("later").is_null()).then("gone").otherwise(pl.col("later") == "removed"),
        )
    return counts.filter(~pl.col("gone")).select(_COUNTS.names())


def adaptive_ttls(
    counts: pl.DataFrame, documents: int, start: float, now: float, ttl: Ttl, kept: int = KEPT_DOCUMENTS
) -> Ttls:
    """TTLs for which the chance that a document changes while an answer lives is ``ttl.share``.

    Changes of one document are taken for a Poisson process with rate r, so that
    P(change within t) = 1 − exp(−r t), and t = −ln(1 − share) / r; so do Cho and Garcia-Molina,
    "Estimating Frequency of Change", ACM TOIT 3(3), 2003, for web pages. Few changes were seen of
    each, so the rate is the mean of its posterior under a Gamma prior (Gelman et al., "Bayesian
    Data Analysis", 3rd edition, section 2.6): r = (1 + changes) / (1 / m + seconds observed). The
    prior counts as one change at the mean rate m of the corpus, m = (1 + all changes) / (documents
    times seconds); the 1 is Laplace's, so that a corpus at rest has no rate of zero.

    Args:
        counts: ``count_changes``.
        documents: how many the corpus has.
        start: since when changes are on record, in seconds.
        now: until when, in seconds.
        ttl: bounds and share of the corpus file.
        kept: documents with a TTL of their own, at most. Where more are due, the default becomes the
            shortest of those left out: nothing lives too long.
    """
    observed = max(now - start, 0.0)
    exposure = documents * observed
    if exposure == 0:
        return Ttls(ttl.max_seconds, {})
    prior = exposure / (1 + int(counts["changes"].sum()))
    patience = -math.log1p(-ttl.share)

    def seconds(rate: float) -> int:
        return int(min(max(patience / rate, ttl.min_seconds), ttl.max_seconds))

    default = seconds(1 / (prior + observed))
    rates = counts.select(
        "document_id",
        seconds=(patience * (prior + now - pl.col("since")) / (1 + pl.col("changes")))
        .clip(ttl.min_seconds, ttl.max_seconds)
        .cast(pl.Int64),
    )
    shorter = rates.filter(pl.col("seconds") < default).sort("seconds", "document_id").head(kept + 1)
    if shorter.height > kept:
        default = int(shorter["seconds"][kept])
        shorter = shorter.filter(pl.col("seconds") < default)
    return Ttls(default, dict(shorter.iter_rows()))


def read_ttls(objects: ObjectStore, corpus: str, ttl: Ttl, now: datetime) -> Ttls:
    """TTLs as the retained publications of a corpus suggest them.

    A publication with another model or chunker changed no document: what it calls changed is not counted.
    """
    log = PublicationLog(objects, corpus)
    retained = log.retained()
    if not retained:
        return Ttls(ttl.max_seconds, {})

    def records() -> Iterable[tuple[float, pl.DataFrame]]:
        for before, publication in pairwise(retained):
            record = log.changes(publication)
            if not publication.spec.same_rows_as(before.spec):
                record = record.filter(pl.col("change") != "changed")
            yield _seconds(publication.time), record

    start = _seconds(retained[0].time)
    counts = count_changes(records(), start)
    return adaptive_ttls(counts, retained[-1].documents, start, now.timestamp(), ttl)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
