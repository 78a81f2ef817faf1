"""What is there is published: the candidate, if readers do not see it yet and nothing speaks against it."""

from __future__ import annotations

from collections.abc import Callable

from rag_assets.index.candidate import Candidate
from rag_assets.index.stage import spec_of
from rag_assets.ingest.context import IngestContext
from rag_assets.publication.erased import require_nothing_erased
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import publish
from rag_assets.publication.record import Publication
from rag_assets.publication.retention import retain
from rag_assets.quality.stage import require_quality


def publish_if_new(
    context: IngestContext,
    candidate: Candidate,
    evaluate: Callable[[Candidate], object],
    *,
    reason: str,
    by: str,
) -> tuple[Publication, bool]:
    """Publish a candidate, if it is not. Returns what readers see, and whether it is new.

    Args:
        context: the corpus.
        candidate: of the latest snapshot.
        evaluate: makes the report that the gate looks for.
        reason: why, for the log.
        by: who, for the log.

    Raises:
        GateRefused, VerificationFailed, PublicationConflict: see ``publication.publish``.
    """
    objects, corpus = context.objects, context.corpus
    log = PublicationLog(objects, corpus.name)
    head = log.head()
    if head is not None and head.candidate == candidate.tag:
        log.repair()
        if candidate.spec != spec_of(context, context.snapshots.latest()):
            # Held back by a rollback; what it went back to may hold what was erased since.
            require_nothing_erased(objects, corpus.name, head)
        return head, False
    if corpus.quality is not None:  # also where Dagster and its checks are bypassed
        require_quality(context, corpus.suites_path, log.bases)
    evaluate(candidate)
    publication = publish(objects, corpus, candidate, reason=reason, by=by)
    retain(objects, corpus)
    return publication, True
