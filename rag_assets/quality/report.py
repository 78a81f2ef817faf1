"""What was found about a corpus's data: results by stage, with the figures behind them.

Results of the stages → ``QualityReport``, which is all that the JSON file and the page say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from rag_assets.quality.profile import Figure
from rag_assets.quality.suite import Severity
from rag_assets.quality.tables import STAGES, Stage, Table


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Result(_Value):
    """One expectation and how it was met."""

    stage: Stage
    expectation: str
    on: Table
    columns: tuple[str, ...]
    severity: Severity
    passed: bool
    measured: bool = Field(description="False when there was no figure to judge; then it counts as passed.")
    expected: str = Field(description="As a sentence.")
    observed: str
    description: str = Field(description="Why it is expected, from the suite file.")

    @property
    def sentence(self) -> str:
        """A failure in one line."""
        why = f" {self.description}" if self.description else ""
        return f"{self.expected} Found: {self.observed}.{why}"


class StageReport(_Value):
    """One stage's table under one suite."""

    stage: Stage
    snapshot: int = Field(description="Number under which these documents were seen first.")
    profile_key: str = Field(description="Names the rows that were profiled.")
    suite: str = Field(description="The suite file, or built-in.")
    suite_digest: str
    compared_with: int | None = Field(
        description="Number of the publication; None when there was none to compare."
    )
    baseline_key: str | None = Field(description="Names the rows of that publication.")
    created: Annotated[AwareDatetime, Field(description="UTC.")]
    complete: bool = Field(description="False while rows refer to what is not in the store yet.")
    numbers: dict[str, Figure] = Field(description="The row that the suite saw.")
    histograms: dict[str, dict[str, int]]
    baseline_histograms: dict[str, dict[str, int]]
    results: tuple[Result, ...]

    @property
    def basis(self) -> tuple[str, str, str | None]:
        """What the verdict rests on: rows, suite, and rows of the publication. On equal ones it is the same."""
        return self.profile_key, self.suite_digest, self.baseline_key

    @property
    def failed(self) -> tuple[Result, ...]:
        """Expectations that were not met, errors first."""
        return tuple(sorted((one for one in self.results if not one.passed), key=lambda one: one.severity))

    @property
    def errors(self) -> tuple[Result, ...]:
        """Those among them that stop what follows."""
        return tuple(one for one in self.failed if one.severity == "error")

    @property
    def passed(self) -> bool:
        """Whether what follows may go on."""
        return not self.errors


class QualityReport(_Value):
    """All stages of a snapshot that have been judged."""

    corpus: str
    stages: tuple[StageReport, ...] = ()

    def stage(self, name: Stage) -> StageReport | None:
        """The report on one stage, or None when it was not judged."""
        return next((one for one in self.stages if one.stage == name), None)

    def with_stage(self, stage: StageReport) -> QualityReport:
        """The same report with one stage new or replaced."""
        stages: Mapping[Stage, StageReport] = {**{one.stage: one for one in self.stages}, stage.stage: stage}
        return QualityReport(
            corpus=self.corpus, stages=tuple(stages[name] for name in STAGES if name in stages)
        )

    @property
    def passed(self) -> bool:
        """Whether no expectation of severity error failed."""
        return all(stage.passed for stage in self.stages)
