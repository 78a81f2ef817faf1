"""What a candidate is held to: gold set, metrics, rules and structural limits of the corpus file.

One value that the evaluation and the publication both derive from the corpus file, each for
itself. So a report that was made under other standards, or for another candidate, is not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rag_assets.corpus import Corpus
from rag_assets.evaluation.gold import GoldSet, load_gold
from rag_assets.evaluation.measurements import Measurements
from rag_assets.store.digest import fingerprint
from rag_assets.store.objects import ObjectStore


@dataclass(frozen=True)
class Standards:
    """The standards of a corpus at this moment."""

    objects: ObjectStore
    corpus: Corpus

    @cached_property
    def gold(self) -> GoldSet | None:
        """The gold set, or None when the corpus has none. Raises GoldSetError."""
        return None if self.corpus.gold_path is None else load_gold(self.corpus.gold_path)

    @property
    def metrics(self) -> list[str]:
        """Metrics that the rules name."""
        return [rule.metric for rule in self.corpus.gate.rules]

    @cached_property
    def measurements(self) -> Measurements:
        """Answers to this gold set in these metrics."""
        gold = self.gold.digest if self.gold else None
        return Measurements(self.objects, self.corpus.name, gold, self.metrics)

    def report_path(self, candidate: str, version: int) -> str:
        """Where the report on a candidate (its tag and Lance version) under these standards lies."""
        key = fingerprint(
            {
                "candidate": candidate,
                "gate": self.corpus.gate.model_dump(mode="json"),
                "evaluation": self.corpus.evaluation.model_dump(mode="json", exclude={"gold"}),
                "min_recall": self.corpus.index.vector.min_recall,
                "measurement": self.measurements.key,
            }
        )
        return f"corpora/{self.corpus.name}/reports/{version:010d}-{key[:12]}"

    def problems(self, removed: int, published: int, facts: Mapping[str, Any]) -> list[str]:
        """What is wrong with a candidate apart from its search quality.

        Args:
            removed: documents that it removes.
            published: documents of the publication that it is built on.
            facts: the candidate's facts.
        """
        found = []
        allowed = self.corpus.gate.max_removed_share
        if removed > allowed * published:
            found.append(
                f"{removed} of {published} published documents would be removed; "
                f"gate.max_removed_share allows {allowed:.0%}"
            )
        recall, least = facts.get("vector_recall@10"), self.corpus.index.vector.min_recall
        if recall is not None and recall < least:
            found.append(
                f"recall@10 of the vector index against exact search is {recall:.3f}; at least {least:.3f} is required"
            )
        return found
