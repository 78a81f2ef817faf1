"""What readers see now, and what changed on the way there, as the logs of the store tell it.

publication log + erasure log → ``Span`` → notices. Read anew for each delivery.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl

from rag_assets.errors import NotPublished
from rag_assets.invalidation.notice import (
    PAGE_DOCUMENTS,
    Kind,
    Notice,
    Span,
    named_as_erased,
    net_changes,
    paged,
)
from rag_assets.publication.log import PublicationLog
from rag_assets.store.erasures import ErasureLog
from rag_assets.store.objects import ObjectLost, ObjectStore
from rag_assets.store.snapshots import OK, SnapshotStore


class Published:
    """The logs of one corpus, as they are when this is made.

    Raises:
        NotPublished: nothing is published yet, so nobody can have cached anything.
    """

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._corpus = corpus
        self._log = PublicationLog(objects, corpus)
        self._erasures = ErasureLog(objects, corpus)
        head = self._log.head()
        if head is None:
            raise NotPublished(f"{corpus}: nothing is published yet; there is nothing to tell anyone")
        # The head first: a later erasure is then told before the publication that follows it.
        self.publication = head.number
        self.erasure = self._erasures.number()
        self._kind: Kind = head.kind
        self._head = head
        self._snapshots = SnapshotStore(objects, corpus)

    @property
    def candidate(self) -> str:
        """Tag of the candidate that readers see."""
        return self._head.candidate

    def candidate_of(self, number: int) -> str:
        """Tag of the candidate of a publication; empty where it is not on record."""
        if number == self.publication:
            return self.candidate
        return next((one.candidate for one in self._log.history() if one.number == number), "")

    def changes(self, after: int) -> pl.DataFrame | None:
        """Net changes since a publication; None when a publication in between is no longer on record."""
        wanted = range(after + 1, self.publication + 1)
        found = {publication.number: publication for publication in self._log.retained()}
        if any(number not in found for number in wanted):
            found |= {publication.number: publication for publication in self._log.history()}
        if any(number not in found for number in wanted):
            return None
        try:
            return net_changes(self._log.changes(found[number]) for number in wanted)
        except ObjectLost:
            return None

    def _recreated(self, span: Span, changes: pl.DataFrame) -> pl.DataFrame:
        """Documents that were erased and created again, and read as before: no change record names them.

        Only where nothing waits for publication: else readers may still see the old document.
        """
        latest = self._snapshots.latest()
        if latest.digest != self._head.spec.snapshot:
            return changes.clear()
        before = next((one.snapshot for one in self._log.retained() if one.number == span.after), 0)
        again = [
            name for name, mark in self._erasures.marks().items() if mark.lifted and mark.snapshot >= before
        ]
        rows = self._snapshots.rows_of(latest, again, ("document_id", "status")).filter(
            pl.col("status") == OK
        )
        named = rows.select("document_id", change=pl.lit("changed"))
        return named.join(changes, on="document_id", how="anti").select(changes.columns)

    def notices(self, span: Span, changes: pl.DataFrame, epoch: str) -> Iterator[Notice]:
        """The pages of a span up to what readers see now."""
        forbidden = self._erasures.erased()
        marked = self._erasures.since(span.erased_after)
        if span.everything:  # of what is forgotten anyway, only what must not come back is named
            marked = [name for name in marked if name in forbidden]
        changes = pl.concat([changes, self._recreated(span, changes)])
        erased = named_as_erased(changes, marked, forbidden)
        new = span.publication > span.after
        return paged(
            self._corpus,
            span,
            changes,
            erased,
            kind="publish" if span.everything else self._kind if new else "erase",
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            epoch=epoch,
            size=PAGE_DOCUMENTS,
        )
