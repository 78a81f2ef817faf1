"""What the store keeps about quality. All of it can be deleted: it is computed again when it is asked for.

::

    corpora/<name>/quality/profiles/<stage>-<key>.parquet, .json   sample and profile
    corpora/<name>/quality/reports/<digest>.html, .json            the page of a snapshot, and its record

``.json`` is written last: where it stands, the other is there. Both hold words of documents: the
sample the beginnings of some, the report a few values that did not fit.
"""

from __future__ import annotations

import io

import polars as pl
from pydantic import ValidationError

from rag_assets.quality.page import render_page
from rag_assets.quality.profile import Profile
from rag_assets.quality.report import QualityReport
from rag_assets.quality.tables import Stage
from rag_assets.store.files import parquet_bytes
from rag_assets.store.objects import ObjectStore

KEPT_REPORTS = 50
KEPT_PROFILES = 200


class QualityFiles:
    """The quality files of one corpus."""

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._objects = objects
        self._corpus = corpus
        self._root = f"corpora/{corpus}/quality"

    def read_profile(self, stage: Stage, key: str) -> tuple[Profile, pl.DataFrame] | None:
        """A profile and its sample; None when there is none, or one that is damaged."""
        record, rows = (self._objects.find(self._profile(stage, key, kind)) for kind in ("json", "parquet"))
        if record is None or rows is None:
            return None
        try:
            return Profile.model_validate_json(record), pl.read_parquet(io.BytesIO(rows))
        except (ValidationError, pl.exceptions.PolarsError):
            return None

    def write_profile(self, key: str, profile: Profile, sample: pl.DataFrame) -> None:
        """Keep a profile; the oldest ones go."""
        self._drop_old("profiles", KEPT_PROFILES)
        self._objects.put(self._profile(profile.stage, key, "parquet"), parquet_bytes(sample))
        self._objects.put(self._profile(profile.stage, key, "json"), profile.model_dump_json().encode())

    def read_report(self, digest: str) -> QualityReport:
        """What was found so far about a snapshot with this digest."""
        record = self._objects.find(self._report(digest, "json"))
        try:
            return QualityReport.model_validate_json(record or b"")
        except ValidationError:
            return QualityReport(corpus=self._corpus)

    def write_report(self, digest: str, report: QualityReport) -> None:
        """Write the page and the record; the oldest ones go."""
        self._drop_old("reports", KEPT_REPORTS)
        self._objects.put(self.page(digest), render_page(report).encode())
        self._objects.put(self._report(digest, "json"), report.model_dump_json(indent=2).encode())

    def page(self, digest: str) -> str:
        """Where the page of a snapshot lies in the store."""
        return self._report(digest, "html")

    def _report(self, digest: str, kind: str) -> str:
        return f"{self._root}/reports/{digest}.{kind}"

    def _profile(self, stage: Stage, key: str, kind: str) -> str:
        return f"{self._root}/profiles/{stage}-{key}.{kind}"

    def _drop_old(self, folder: str, kept: int) -> None:
        """Make room for one more: each is two files."""
        newest_first = sorted(
            self._objects.list(f"{self._root}/{folder}"), key=lambda info: info.modified, reverse=True
        )
        self._objects.delete(info.path for info in newest_first[2 * (kept - 1) :])
