"""The check ``verified``: whether what readers see is, row by row, what the stores hold, in Dagster's words.

A run that finds the last full verification older than ``publication.verify_days`` makes one; the others
show its result.
"""

from __future__ import annotations

import dagster as dg

from rag_assets.corpus import Corpus
from rag_assets.orchestration.declare import check_result, check_spec
from rag_assets.publication.verification import damage_in_words, is_due, last_verification, verify_published
from rag_assets.store.objects import ObjectStore

CHECK = "verified"


def verification_spec(corpus: Corpus) -> dg.AssetCheckSpec:
    """The check, which stands at the asset ``publication``."""
    return check_spec(
        CHECK,
        "publication",
        corpus,
        f"Every published row has the text and vector that the stores hold; compared every "
        f"{corpus.publication.verify_days:g} days.",
    )


def verification_result(objects: ObjectStore, corpus: Corpus, candidate: str) -> dg.AssetCheckResult:
    """What the last full verification found, after one that was due.

    Args:
        objects: the store.
        corpus: the corpus file.
        candidate: what is published. A result on another one says nothing about it.
    """
    due = is_due(objects, corpus.name, corpus.publication.verify_days)
    found = verify_published(objects, corpus.name) if due else last_verification(objects, corpus.name)
    if found is None or found.candidate != candidate:
        return check_result(CHECK, None, {"verified": "when it was built"})
    facts = {"publication": found.publication, "verified": found.time, "rows": found.rows}
    if found.uncompared:
        facts["documents_not_compared"] = found.uncompared
    return check_result(CHECK, damage_in_words(corpus.name, found), facts)
