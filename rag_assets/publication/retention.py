"""Retention: drop publications beyond the configured number, then files that no tag protects.

Only this file deletes published data. A version is deleted when no tag names it and it is
older than ``GRACE``, so a build in progress and a reader that is just switching are safe.
"""

from __future__ import annotations

from datetime import timedelta

from rag_assets import corpus as models
from rag_assets.index.table import open_table, read_tags, translated
from rag_assets.publication.log import PublicationLog
from rag_assets.store.objects import ObjectStore

GRACE = timedelta(hours=24)
CANDIDATE_PREFIX = "cand-"


def retain(objects: ObjectStore, corpus: models.Corpus) -> list[int]:
    """Drop what need not be kept. Returns the numbers of the publications that were dropped."""
    log = PublicationLog(objects, corpus.name)
    numbers = sorted(log.versions())
    dropped = numbers[: -corpus.publication.keep]
    log.drop(dropped)
    table = open_table(objects, corpus.name)
    if table is None:
        return dropped
    with translated("clean up old versions"):
        tags = read_tags(objects, corpus.name)
        protected = {version for name, version in tags.items() if name.startswith("pub-")}
        for name, version in tags.items():
            # A candidate's own tag is not needed once it is published, nor once a newer one was built.
            if name.startswith(CANDIDATE_PREFIX) and (
                version in protected or version < max(protected, default=0)
            ):
                table.tags.delete(name)
        # LanceDB's own optimize() would raise on tagged versions before it updates the indexes.
        table.to_lance().cleanup_old_versions(GRACE, error_if_tagged_old_versions=False)
    return dropped
