"""Data quality: is what the stages made fit to be published?

a stage's rows, in batches → profile (Polars: one row of figures over everything, and a bounded
sample) → drift against the published profile → suite (YAML, by people) → judge (Great
Expectations) → report, page. Nothing here needs a whole table of texts or vectors in memory: a profile keeps a few
bytes of each row. ``stage`` leads through all of it.

Knows rows and the stores that hold them; not how they are made, nor the log of publications.
"""

from rag_assets.quality.profile import Profile
from rag_assets.quality.report import QualityReport, Result, StageReport
from rag_assets.quality.suite import Suite, load_suite, load_suites
from rag_assets.quality.tables import STAGES, Stage

__all__ = [
    "STAGES",
    "Profile",
    "QualityReport",
    "Result",
    "Stage",
    "StageReport",
    "Suite",
    "load_suite",
    "load_suites",
]
