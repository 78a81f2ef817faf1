"""The candidate over the latest snapshot: the one that stands, or else one that is built now.

log, records of candidates → what is published, what an earlier run built, or a build.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from rag_assets.errors import StageIncomplete
from rag_assets.index.candidate import Candidate
from rag_assets.index.stage import build_candidate, spec_of
from rag_assets.ingest.context import IngestContext
from rag_assets.progress import Progress
from rag_assets.publication.candidates import Standing, latest_candidate, standing_candidate
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.mending import mend
from rag_assets.publication.verification import damage_of
from rag_assets.store.snapshots import Snapshot

BuildState = Literal["built"] | Standing


def find_or_build(
    context: IngestContext,
    snapshot: Snapshot,
    make_everything: Callable[[], None],
    progress: Progress,
    full_verify_rows: int | None = None,
) -> tuple[Candidate, BuildState]:
    """Mend what damage left of the table and its log, then find the candidate of a snapshot or build it.

    Args:
        context: the corpus.
        snapshot: the latest one.
        make_everything: makes all chunks and vectors that are lacking, those of unchanged documents, too.
        progress: told how far it has come.
        full_verify_rows: as of ``build_candidate``.

    Returns:
        The candidate, and whether it was built, was there from an earlier run, is what is
        published, or is held back because a rollback took it back (then: what is published).
    """
    objects, name = context.objects, context.corpus.name
    mend(objects, name)
    head = PublicationLog(objects, name).head()
    spec = spec_of(context, snapshot)
    damage = None if head is None else damage_of(objects, name, head)
    standing = standing_candidate(objects, name, spec, head, damage)
    if standing is not None:
        return standing
    base = None if head is None else head.base
    build = partial(build_candidate, damage=damage, full_verify_rows=full_verify_rows)
    try:
        return build(context, snapshot, spec, base, progress), "built"
    except StageIncomplete:
        if base is None:
            raise
        # A shard was lost since it was published. Everything is looked for once, not only what changed,
        # and what is lacking is made anew.
        make_everything()
        return build(context, snapshot, spec, base, progress), "built"


def built_candidate(context: IngestContext) -> Candidate:
    """The candidate of the latest snapshot, which may be what is published.

    Raises:
        VerificationFailed: it has not been built.
    """
    spec = spec_of(context, context.snapshots.latest())
    return latest_candidate(context.objects, context.corpus.name, spec)
