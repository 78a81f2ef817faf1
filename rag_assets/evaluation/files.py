"""The names of a report's files, for CI jobs that read them; see ``rag_assets.evaluation.report.files``.

``deploy/ci/test_answers.py``, which people copy into their repositories, imports them from here.
"""

from __future__ import annotations

from rag_assets.evaluation.report.files import JSON_FILE, PAGE_FILE, QUESTIONS_FILE

__all__ = ["JSON_FILE", "PAGE_FILE", "QUESTIONS_FILE"]
