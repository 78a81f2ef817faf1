"""Quarantined documents by name and reason, as status, run and plan list them."""

from __future__ import annotations

from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost
from rag_assets.store.snapshots import Snapshot, SnapshotStore

LISTED_DOCUMENTS = 100  # at most


def quarantined_documents(snapshots: SnapshotStore, snapshot: Snapshot) -> list[dict[str, str]]:
    """document_id, reason and detail of the first quarantined documents; none where a snapshot's rows are lost."""
    try:
        rejected = snapshots.quarantined(snapshot).head(LISTED_DOCUMENTS)
    except ObjectLost as error:
        warn(str(error))
        return []
    return rejected.select("document_id", "reason", "detail").to_dicts()
