"""The gold questions, asked of a candidate and of what it is compared with.

Each stage goes through both versions; what is lacking, done and failed is counted together.
"""

from __future__ import annotations

from typing import Literal

from rag_assets.evaluation.answers.asking import AskCounts
from rag_assets.evaluation.answers.generator import Generator
from rag_assets.evaluation.candidate.answers import AnsweredVersion, Version
from rag_assets.evaluation.gate.standards import Standards
from rag_assets.evaluation.judging.judge import Judge
from rag_assets.evaluation.search.search import SearchOf
from rag_assets.index.base import Base
from rag_assets.index.candidate import Candidate
from rag_assets.progress import Progress

AskedStage = Literal["answers", "judgements"]


class AskedVersions:
    """Answers and judgements of both versions.

    Args:
        standards: of the corpus, whose file must ask for answers.
        models: who answers, and who judges.
        candidate: what is evaluated.
        base: what it is compared with; None where nothing is.
        search: opens the search of a version.
    """

    def __init__(
        self,
        standards: Standards,
        models: tuple[Generator, Judge],
        candidate: Candidate,
        base: Base | None,
        search: SearchOf,
    ) -> None:
        versions = [Version(candidate.tag, candidate.version)]
        if base is not None:
            versions.append(Version(base.candidate, base.version))
        self._generator, self._judge = models
        self._versions = [AnsweredVersion(standards, version, search) for version in versions]

    def ask(self, stage: AskedStage, progress: Progress) -> AskCounts:
        """Answer the questions, or judge the answers, as far as no store holds that yet."""
        total = AskCounts()
        for version in self._versions:
            if stage == "answers":
                total.add(version.answer(self._generator, progress))
            else:
                total.add(version.judge(self._generator, self._judge, progress))
        return total

    def missing(self, stage: AskedStage) -> int:
        """How many answers or judgements are lacking. Searches for contexts, and asks no model."""
        if stage == "answers":
            return sum(version.unanswered(self._generator) for version in self._versions)
        return sum(version.unjudged(self._generator, self._judge) for version in self._versions)

    def failures(self, stage: AskedStage) -> dict[str, str]:
        """Why answers or judgements are lacking, by key."""
        return {key: why for version in self._versions for key, why in version.failures(stage).items()}
