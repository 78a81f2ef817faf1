"""Questions proposed on what the store holds: documents without a question → drafts → a proposer → proposals."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

from rag_assets import corpus as models
from rag_assets.evaluation.answers.propose import ChatProposer
from rag_assets.evaluation.gold.file import normalized, read_started
from rag_assets.evaluation.gold.propose import Draft, HeadingProposer, Proposals, Proposer
from rag_assets.evaluation.gold.stored import latest_snapshot, parsed_texts
from rag_assets.store.objects import ObjectStore


def propose_for(objects: ObjectStore, corpus: models.Corpus, path: Path, count: int) -> Proposals:
    """Propose questions on documents that no question of the gold set covers, drawn evenly at random.

    Raises:
        StageIncomplete: the corpus was never run.
        GoldSetError: the gold set has mistakes.
    """
    gold = read_started(path)
    snapshots, snapshot = latest_snapshot(objects, corpus)
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
