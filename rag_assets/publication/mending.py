"""Mend what damage left of a corpus's table and log, before anything is built or published on it.

records, tags and manifests → what is damaged or lost → written anew where it is known; what can never be
read again is taken out of the log, and where readers see it, they go back to the newest publication that is whole.
"""

from __future__ import annotations

from dataclasses import replace

from rag_assets.errors import NotPublished
from rag_assets.index.documents import changes_between
from rag_assets.index.lance_files import manifests, read_tags, table_folder, tag_path
from rag_assets.index.mending import drop_broken_build, lost_versions
from rag_assets.index.table import IndexUnavailable
from rag_assets.index.tags import mend_tags
from rag_assets.publication.erased import require_nothing_erased
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.record import Publication
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectStore

BY = "rag-assets"


def mend(objects: ObjectStore, corpus: str) -> None:
    """Mend the table and the log of a corpus. Looks at names and sizes, and writes only where something is wrong.

    Raises:
        IndexUnavailable: no version that was published can be read; the message says what helps.
        PublicationConflict: another publication came in between.
    """
    log = PublicationLog(objects, corpus)
    drop_broken_build(objects, corpus)
    _leave_lost(objects, corpus, log)
    log.mend_records()
    mend_tags(objects, corpus, {f"pub-{number:08d}": version for number, version in log.versions().items()})
    log.repair()


def _leave_lost(objects: ObjectStore, corpus: str, log: PublicationLog) -> None:
    """Let no tag name a version that can never be opened again; those of publications leave the log."""
    versions, tags = log.versions(), read_tags(objects, corpus)
    lost = lost_versions(objects, corpus, [*versions.values(), *tags.values()])
    gone = [number for number, version in versions.items() if version in lost]
    if gone:
        named = ", ".join(map(str, sorted(gone)))
        warn(
            f"{corpus}: the versions of publications {named} can never be read again: their manifests were lost"
        )
    if max(versions, default=0) in gone:
        whole = [number for number in sorted(versions, reverse=True) if number not in gone]
        _go_back(objects, corpus, log, log.find(max(versions)), whole)
    # The numbers of lost versions are given out again: from now on no tag may name them.
    stale = [name for name, version in read_tags(objects, corpus).items() if version in lost]
    objects.delete(tag_path(corpus, name) for name in stale)
    found = manifests(objects, corpus)
    objects.delete(found[version].path for version in lost if version in found)
    drop_broken_build(objects, corpus)


def _go_back(
    objects: ObjectStore, corpus: str, log: PublicationLog, head: Publication, whole: list[int]
) -> None:
    """Publish the newest of some publications once more. What is lost is not held back: the next run makes it anew."""
    for number in whole:
        target = log.find(number)
        try:
            require_nothing_erased(objects, corpus, target)
        except NotPublished:
            continue
        changes = changes_between(objects, corpus, head.base, target.base)
        log.claim(
            replace(
                target,
                number=head.number + 1,
                kind="rollback",
                reason=f"publication {head.number} was lost; back to publication {target.number}",
                by=BY,
                changes=dict(changes.group_by("change").len().iter_rows()),
                held=tuple(sorted({*head.held} - {target.spec.digest})),
            ),
            changes,
        )
        return
    raise IndexUnavailable(
        f"{corpus}: no publication can be read any more: the manifests of their versions were lost, or they hold what "
        f"was erased since. Put {objects.uri(table_folder(corpus))} back from a backup, or delete that folder and run "
        f"rag-assets run {corpus}: the index is built anew without embedding, and the history starts anew"
    )
