"""Which candidate a run goes on with: one that is published already, one that an earlier run built, or none yet.

log + records of candidates + spec of the latest snapshot → the candidate that stands.
"""

from __future__ import annotations

from typing import Literal

from rag_assets.errors import VerificationFailed
from rag_assets.index.base import Damage
from rag_assets.index.candidate import Candidate, CandidateStore, Spec
from rag_assets.index.lance_files import read_tags
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.record import Publication
from rag_assets.store.files import warn
from rag_assets.store.objects import ObjectLost, ObjectStore

Standing = Literal["reused", "unchanged", "held"]


def standing_candidate(
    objects: ObjectStore, corpus: str, spec: Spec, head: Publication | None, damage: Damage | None
) -> tuple[Candidate, Standing] | None:
    """The candidate of a spec that need not be built any more; None where it is to be built.

    Args:
        objects: the store.
        corpus: name of the corpus.
        spec: what a run would build.
        head: what readers see.
        damage: what is wrong with it.

    Returns:
        The candidate, and whether it was there from an earlier run, is what is published, or is held back
        because a rollback took it back (then: what is published).

    Raises:
        VerificationFailed: what is published is damaged, and what would take its place is held back.
    """
    latest = _built_on(objects, corpus, spec, head)
    if latest is not None:
        return latest, "reused"
    if head is not None and spec.digest in head.held:
        if damage is not None:
            raise VerificationFailed(
                f"{corpus}: publication {head.number} {damage.what}, and what a run would build was taken "
                f"back by a rollback: go to another publication (rag-assets rollback {corpus} --to N), or "
                "change the documents and run again"
            )
        return _published(objects, corpus, head), "held"
    if head is not None and head.spec == spec and damage is None:
        return _published(objects, corpus, head), "unchanged"
    return None


def latest_candidate(objects: ObjectStore, corpus: str, spec: Spec) -> Candidate:
    """The candidate of a spec, which may be what is published. Raises VerificationFailed where it was not built."""
    head = PublicationLog(objects, corpus).head()
    latest = _built_on(objects, corpus, spec, head)
    if latest is None and head is not None and (head.spec == spec or spec.digest in head.held):
        return _published(objects, corpus, head)
    latest = latest or _newest(objects, corpus, spec)
    if latest is None:
        raise VerificationFailed(f"{corpus}: the index of the latest snapshot is not built yet; run again")
    return latest


def is_published(objects: ObjectStore, corpus: str, candidate: Candidate) -> bool:
    """Whether a candidate is what readers see."""
    head = PublicationLog(objects, corpus).head()
    return head is not None and head.candidate == candidate.tag


def _newest(objects: ObjectStore, corpus: str, spec: Spec) -> Candidate | None:
    """The newest candidate that is still in the table, if it is of this spec."""
    store = CandidateStore(objects, corpus)
    found = store.newest(read_tags(objects, corpus))
    if found is None or found.spec != spec:
        return None
    try:
        store.changes(found.version)
    except ObjectLost as error:  # without them it cannot be published
        warn(str(error))
        return None
    return found


def _built_on(objects: ObjectStore, corpus: str, spec: Spec, head: Publication | None) -> Candidate | None:
    """The candidate of this spec that was built on a publication; of the same spec, where that is damaged."""
    found = _newest(objects, corpus, spec)
    base, published = (0, None) if head is None else (head.number, head.candidate)
    return found if found is not None and found.base == base and found.tag != published else None


def _published(objects: ObjectStore, corpus: str, head: Publication) -> Candidate:
    """The candidate that is published; what the log says of it where its own record was lost."""
    found = CandidateStore(objects, corpus).find(head.version, head.candidate)
    return found or Candidate(
        version=head.version,
        base=head.number - 1,
        snapshot=head.snapshot,
        spec=head.spec,
        documents=head.documents,
        chunks=head.chunks,
        tag=head.candidate,
        changes=head.changes,
        facts=head.facts,
        about=head.about,
    )
