"""Retention: drop publications beyond the configured number, then files that no tag protects.

Only this file deletes published data. A version is deleted when no tag names it and it was written
more than ``GRACE`` ago, so a build in progress and a reader that is just switching are safe. Ages are
differences of two times of the store: clocks of machines differ.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from rag_assets import corpus as models
from rag_assets.index.candidate import CANDIDATE_PREFIX
from rag_assets.index.lance_files import read_tags, tagged, written
from rag_assets.index.table import IndexUnavailable, drop_tag, open_table, translated
from rag_assets.publication.log import HOLD_PREFIX, PublicationLog
from rag_assets.store.objects import ObjectStore

GRACE = timedelta(hours=24)
HOLD = timedelta(hours=24)  # a rollback takes seconds; what holds longer belongs to one that was killed
CLOCK_AHEAD = timedelta(hours=24)  # of this machine against the store, above which no file is deleted


def retain(objects: ObjectStore, corpus: models.Corpus, grace: timedelta | None = None) -> list[int]:
    """Drop what need not be kept.

    Args:
        objects: the store.
        corpus: the corpus file.
        grace: age, on the clock of the store, below which nothing is deleted; None for ``GRACE``.

    Returns:
        The numbers of the publications that were dropped.
    """
    name = corpus.name
    log = PublicationLog(objects, name)
    numbers = sorted(log.versions())
    dropped = numbers[: -corpus.publication.keep]
    log.drop(dropped)
    if not numbers:
        return dropped
    now = objects.now()
    _drop_tags(objects, name, now - HOLD)
    # Lance compares times of the store with the clock of this machine to tell whether a file that belongs to no
    # version is part of a write in progress: below seven days it is. A clock that is far ahead would void that.
    if datetime.now(UTC) - now < CLOCK_AHEAD:
        _delete_versions(objects, name, now - (GRACE if grace is None else grace))
    return dropped


def _drop_tags(objects: ObjectStore, corpus: str, before: datetime) -> None:
    """Drop the tags of candidates that are not needed any more, and those that a killed rollback left."""
    tags, ages = read_tags(objects, corpus), tagged(objects, corpus)
    protected = {version for name, version in tags.items() if name.startswith("pub-")}
    for name, version in tags.items():
        # A candidate's own tag is not needed once it is published, nor once a newer one was built.
        candidate = name.startswith(CANDIDATE_PREFIX) and (
            version in protected or version < max(protected, default=0)
        )
        if candidate or (name.startswith(HOLD_PREFIX) and name in ages and ages[name] <= before):
            drop_tag(objects, corpus, name)


@retry(
    retry=retry_if_exception_type(IndexUnavailable),
    stop=stop_after_attempt(3),  # another process may delete what this one is looking at
    wait=wait_random_exponential(multiplier=0.1, max=1),
    reraise=True,
)
def _delete_versions(objects: ObjectStore, corpus: str, before: datetime) -> None:
    """Delete versions that were written before a time of the store. LanceDB keeps the tagged and the latest ones."""
    old = [version for version, time in written(objects, corpus).items() if time <= before]
    table = open_table(objects, corpus)
    if table is not None and old:
        with translated("clean up old versions"):
            # LanceDB's own optimize() would raise on tagged versions before it updates the indexes.
            table.to_lance().cleanup_old_versions(versions=old, error_if_tagged_old_versions=False)
