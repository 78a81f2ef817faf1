"""A report's files in the store: ``questions.parquet``, ``report.html`` and, last, ``report.json``.

``report.json`` is written last: where it stands, the report is whole.
"""

from __future__ import annotations

import polars as pl
from pydantic import ValidationError

from rag_assets.evaluation.report.page import render_page
from rag_assets.evaluation.report.report import Report
from rag_assets.evaluation.search.measured import WIDE, Measured
from rag_assets.store.files import read_parquet, scan_parquet, write_lazy
from rag_assets.store.objects import ObjectLost, ObjectStore

JSON_FILE = "report.json"
QUESTIONS_FILE = "questions.parquet"
PAGE_FILE = "report.html"


def write_report(objects: ObjectStore, prefix: str, report: Report, measured: Measured) -> None:
    """Write all files of a report below a prefix. Repeating it is harmless."""
    write_lazy(objects, f"{prefix}/{QUESTIONS_FILE}", measured.whole())
    objects.put(f"{prefix}/{PAGE_FILE}", render_page(report, measured).encode())
    objects.put(f"{prefix}/{JSON_FILE}", report.model_dump_json(indent=2).encode())


def find_report(objects: ObjectStore, prefix: str) -> Report | None:
    """The report below a prefix without its figures, or None when there is none that can be read."""
    report = objects.find(f"{prefix}/{JSON_FILE}")
    try:
        return None if report is None else Report.model_validate_json(report)
    except ValidationError:
        return None


def read_report(objects: ObjectStore, prefix: str) -> tuple[Report, pl.DataFrame] | None:
    """The report below a prefix and its figures, or None when there is no whole one: then it is made again.

    The figures are those of ``Measured``.
    """
    report = find_report(objects, prefix)
    if report is None:
        return None
    try:
        return report, read_parquet(objects, f"{prefix}/{QUESTIONS_FILE}", pl.exclude(WIDE))
    except ObjectLost:
        return None


def page_of(objects: ObjectStore, prefix: str, report: Report) -> str:
    """The page of a report that was read below a prefix, with what is known of it by now: its publication."""
    path = f"{prefix}/{QUESTIONS_FILE}"
    figures = read_parquet(objects, path, pl.exclude(WIDE))
    return render_page(report, Measured(figures, scan_parquet(objects, path)))
