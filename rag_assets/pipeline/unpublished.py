"""Which documents a run has to process: those that differ from what is published."""

from __future__ import annotations

import polars as pl

from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.work import Made, documents_to_process
from rag_assets.publication.log import PublicationLog


def unpublished_documents(
    context: IngestContext, log: PublicationLog, *, everything: bool = False
) -> pl.DataFrame:
    """Readable documents of the latest snapshot that are not published as they are, nor with these fingerprints.

    Args:
        context: the corpus.
        log: of its publications.
        everything: whether those that are published count, too.
    """
    head = None if everything else log.head()
    if head is None:
        return documents_to_process(context, None)
    # A published index has all of its chunks and vectors in the stores, so only the change counts.
    made = Made(head.snapshot, head.spec.snapshot, head.spec.chunker, head.spec.embedder)
    return documents_to_process(context, made)
