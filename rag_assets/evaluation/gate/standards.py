"""What a candidate is held to: gold set, metrics, rules and structural limits of the corpus file.

One value that the evaluation and the publication both derive from the corpus file, each for
itself. So a report that was made under other standards, or for another candidate, is not found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rag_assets.corpus import ANSWER_METRICS, Corpus
from rag_assets.errors import ConfigurationError
from rag_assets.evaluation.answers.generator import Generator
from rag_assets.evaluation.answers.open import open_generator
from rag_assets.evaluation.gate.targets import LostQuestion, StaleQuestion
from rag_assets.evaluation.gold import GoldSet, load_gold
from rag_assets.evaluation.judging.judge import Judge
from rag_assets.evaluation.judging.open import open_judge
from rag_assets.evaluation.search.measurements import Measurements
from rag_assets.evaluation.search.slices import SliceRow, describe, regressions
from rag_assets.store.digest import fingerprint
from rag_assets.store.objects import ObjectStore

VERSION = 2  # raise when the same measurements would be counted, compared or decided differently


def max_unjudged_share(corpus: Corpus) -> float:
    """Share of questions that may lack a judgement; 0 where none is asked for."""
    answers = corpus.evaluation.answers
    return 0.0 if answers is None else answers.max_unjudged_share


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
    def search_metrics(self) -> list[str]:
        """Metrics of search that the rules name."""
        return [rule.metric for rule in self.corpus.gate.rules if rule.metric not in ANSWER_METRICS]

    @cached_property
    def measurements(self) -> Measurements:
        """What is measured with this gold set, in these metrics, by this generator and judge."""
        gold, answers = self.gold.digest if self.gold else None, self.corpus.evaluation.answers
        asked: list[Any] | None = None
        if answers is not None and self.models is not None:
            # What the models are, not how they are reached: another version of the judge judges anew.
            asked = [answers.contexts, *(model.fingerprint for model in self.models)]
        return Measurements(self.objects, self.corpus.name, gold, self.search_metrics, asked)

    @cached_property
    def models(self) -> tuple[Generator, Judge] | None:
        """Who answers the gold questions and who judges the answers; None when that is not asked for."""
        answers = self.corpus.evaluation.answers
        if answers is None:
            return None
        return open_generator(answers, self.objects), open_judge(answers, self.objects)

    @property
    def required_models(self) -> tuple[Generator, Judge]:
        """``models``. Raises ConfigurationError where the corpus file does not ask for answers."""
        if self.models is None:
            raise ConfigurationError(f"{self.corpus.name}: set evaluation.answers to have questions answered")
        return self.models

    def report_path(self, candidate: str, version: int) -> str:
        """Where the report on a candidate (its tag and Lance version) under these standards lies."""
        key = fingerprint(
            {
                "version": VERSION,
                "candidate": candidate,
                "gate": self.corpus.gate.model_dump(mode="json"),
                "evaluation": self.corpus.evaluation.model_dump(mode="json", exclude={"gold"}),
                "min_recall": self.corpus.index.vector.min_recall,
                "measurement": self.measurements.key,
            }
        )
        return f"corpora/{self.corpus.name}/reports/{version:010d}-{key[:12]}"

    def problems(
        self,
        removed: int,
        published: int,
        facts: Mapping[str, Any],
        stale: Sequence[StaleQuestion],
        lost: Sequence[LostQuestion],
        slices: Sequence[SliceRow],
        incomparable: str | None,
    ) -> list[str]:
        """What is wrong with a candidate apart from its search quality.

        Args:
            removed: documents that it removes.
            published: documents of the publication that it is built on.
            facts: the candidate's facts.
            stale: gold questions that want documents which neither the candidate nor what is published has.
            lost: gold questions whose targets the candidate has no longer.
            slices: the measured slices.
            incomparable: why answers cannot be compared with the published version's, if they cannot.
        """
        found = []
        allowed = self.corpus.gate.max_removed_share
        if removed > allowed * published:
            found.append(
                f"{removed} of {published} published documents would be removed; "
                f"gate.max_removed_share allows {allowed:.0%}"
            )
        questions = len(self.gold.questions) if self.gold else 0
        removed_now = sum(any(target.kind == "document" for target in one.targets) for one in lost)
        allowed = self.corpus.evaluation.max_stale_share
        if len(stale) + removed_now > allowed * questions:
            found.append(
                f"{len(stale) + removed_now} of {questions} gold questions want documents that are not in the corpus; "
                f"evaluation.max_stale_share allows {allowed:.0%}. {_cure(len(stale), removed_now)}; "
                f"rag-assets gold check {self.corpus.name} names all of them"
            )
        recall, least = facts.get("vector_recall@10"), self.corpus.index.vector.min_recall
        if recall is not None and recall < least:
            found.append(
                f"recall@10 of the vector index against exact search is {recall:.3f}; at least {least:.3f} is required"
            )
        if self.corpus.gate.worse_slices == "refuse":
            worse = [describe(row) for row in regressions(slices)] + ([incomparable] if incomparable else [])
            found += [f"{reason}; gate.worse_slices says refuse" for reason in worse]
        return found


def _cure(stale: int, removed: int) -> str:
    """What to do about questions whose documents are gone: it depends on what removed them."""
    if not removed:
        return "Correct or retire them"
    if not stale:
        return "This change removed the documents: restore them, or retire the questions"
    return (
        f"This change removed the documents of {removed}: restore them, or retire the questions. "
        f"Correct or retire the other {stale}"
    )
