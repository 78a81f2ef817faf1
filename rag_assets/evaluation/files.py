"""A report's files in the store: ``questions.parquet``, ``report.html`` and, last, ``report.json``.

``report.json`` is written last: where it stands, the report is whole.
"""

from __future__ import annotations

import io

import polars as pl
from pydantic import ValidationError

from rag_assets.evaluation.page import render_page
from rag_assets.evaluation.report import Report
from rag_assets.store.objects import ObjectStore

JSON_FILE = "report.json"
QUESTIONS_FILE = "questions.parquet"
PAGE_FILE = "report.html"


def write_report(objects: ObjectStore, prefix: str, report: Report, questions: pl.DataFrame) -> None:
    """Write all files of a report below a prefix. Repeating it is harmless."""
    parquet = io.BytesIO()
    questions.write_parquet(parquet)
    objects.put(f"{prefix}/{QUESTIONS_FILE}", parquet.getvalue())
    objects.put(f"{prefix}/{PAGE_FILE}", render_page(report, questions).encode())
    objects.put(f"{prefix}/{JSON_FILE}", report.model_dump_json(indent=2).encode())


def read_report(objects: ObjectStore, prefix: str) -> tuple[Report, pl.DataFrame] | None:
    """The report below a prefix and its evaluation, or None when there is no whole one: then it is made again."""
    report, questions = (objects.find(f"{prefix}/{name}") for name in (JSON_FILE, QUESTIONS_FILE))
    if report is None or questions is None:
        return None
    try:
        return Report.model_validate_json(report), pl.read_parquet(io.BytesIO(questions))
    except (ValidationError, pl.exceptions.PolarsError):
        return None
