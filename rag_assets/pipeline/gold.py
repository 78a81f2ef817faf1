"""A corpus's gold set against what the store holds of its documents."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from rag_assets import corpus as models
from rag_assets.errors import StageIncomplete
from rag_assets.evaluation.answers.propose import ChatProposer
from rag_assets.evaluation.gold import GoldSet
from rag_assets.evaluation.gold.check import Finding, check_gold
from rag_assets.evaluation.gold.file import normalized, read_started
from rag_assets.evaluation.gold.propose import Draft, HeadingProposer, Proposals, Proposer
from rag_assets.ingest.parsing.batch import document_store
from rag_assets.ingest.work import restore
from rag_assets.store.objects import ObjectStore
from rag_assets.store.snapshots import QUARANTINED, Snapshot, SnapshotStore

BATCH = 512  # documents read together


def check_corpus(objects: ObjectStore, corpus: models.Corpus, gold: GoldSet) -> list[Finding]:
    """Hold a gold set against the latest snapshot. Reads every parsed text once.

    Raises:
        StageIncomplete: the corpus was never run.
    """
    snapshots, snapshot = _latest(objects, corpus)
    readable = snapshots.readable(snapshot)
    refused = snapshots.quarantined(snapshot).filter(pl.col("status") == QUARANTINED)
    quarantined = dict(refused.select("document_id", "reason").iter_rows())
    texts = ((identity, text) for identity, _, text in parsed_texts(objects, corpus, readable))
    return check_gold(gold, set(readable["document_id"]), quarantined, texts)


def propose_for(objects: ObjectStore, corpus: models.Corpus, path: Path, count: int) -> Proposals:
    """Propose questions on documents that no question of the gold set covers, drawn evenly at random.

    Raises:
        StageIncomplete: the corpus was never run.
        GoldSetError: the gold set has mistakes.
    """
    gold = read_started(path)
    snapshots, snapshot = _latest(objects, corpus)
    covered = {document for question in (*gold.questions, *gold.proposals) for document in question.documents}
    open_documents = snapshots.readable(snapshot).filter(~pl.col("document_id").is_in(list(covered)))
    rows = sorted(
        random.Random(snapshot.digest).sample(range(open_documents.height), min(count, open_documents.height))
    )
    drafts = [
        Draft(identity, title or "", text)
        for identity, title, text in parsed_texts(objects, corpus, open_documents[rows])
    ]
    generator = corpus.evaluation.answers.generator if corpus.evaluation.answers else None
    proposer: Proposer = (
        HeadingProposer()
        if generator is None or isinstance(generator, models.Extractive)
        else ChatProposer(generator)
    )
    known = {normalized(question.question) for question in (*gold.questions, *gold.proposals, *gold.retired)}
    questions, failures = [], []
    for draft, found in zip(drafts, proposer.propose(drafts), strict=True):
        if isinstance(found, str):
            failures.append((draft.document_id, found))
        elif normalized(found.question) in known:
            failures.append((draft.document_id, f"the question is asked already: {found.question}"))
        else:
            known.add(normalized(found.question))
            questions.append(found)
    return Proposals(tuple(questions), tuple(failures), open_documents.height)


def parsed_texts(
    objects: ObjectStore, corpus: models.Corpus, documents: pl.DataFrame
) -> Iterator[tuple[str, str | None, str]]:
    """(id, title, parsed text) of documents (``snapshots.READABLE``), in batches. Lost texts are parsed again.

    Raises:
        StageIncomplete: a text was lost, and its document has changed since the last run.
    """
    restore(objects, corpus, documents)
    for (format,), part in documents.group_by(["format"], maintain_order=True):
        store = document_store(objects, str(format))
        for batch in part.iter_slices(BATCH):
            texts = store.collect(batch["content_key"], ("text",))
            joined = batch.join(
                texts, left_on="content_key", right_on="key", how="left", maintain_order="left"
            )
            lacking = joined.filter(pl.col("text").is_null())
            if lacking.height:
                raise StageIncomplete(
                    f"{corpus.name}: {lacking.height} parsed texts were lost from the store and their documents have "
                    f"changed since the last run, e.g. {lacking['document_id'][0]!r}; rag-assets run {corpus.name}"
                )
            yield from joined.select("document_id", "title", "text").iter_rows()


def _latest(objects: ObjectStore, corpus: models.Corpus) -> tuple[SnapshotStore, Snapshot]:
    snapshots = SnapshotStore(objects, corpus.name)
    snapshot = snapshots.latest()
    if snapshot.number == 0:
        raise StageIncomplete(
            f"{corpus.name}: the corpus was never run, so that no document is known; run it first"
        )
    return snapshots, snapshot
