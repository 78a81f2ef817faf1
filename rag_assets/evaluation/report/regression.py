"""Is a candidate worse than what it is compared with? One answer for terminal, page, JUnit and exit code.

``Report`` → what became worse beyond noise, and what nobody can tell, in sentences.
"""

from __future__ import annotations

from rag_assets.evaluation.report.details import HEADLINE_MODE
from rag_assets.evaluation.report.report import Report
from rag_assets.evaluation.search.certainty import LEAST_QUESTIONS
from rag_assets.evaluation.search.metrics import title_of
from rag_assets.evaluation.search.slices import describe, regressions
from rag_assets.evaluation.search.summary import ComparisonRow

NOT_CHECKED = "; regression NOT checked"


def headline_rows(report: Report) -> list[ComparisonRow]:
    """The comparisons that count: the other search modes are there to explain."""
    return [row for row in report.comparison if row.mode == HEADLINE_MODE]


def regressions_of(report: Report) -> list[str]:
    """What is worse than published, in sentences: what questions want and the change removed, which is no chance, then
    metrics and slices that are worse beyond noise, or that cannot be compared."""
    worse = [*report.removed, *(explain(row) for row in headline_rows(report) if is_worse(row))]
    if report.judged is not None and report.judged.incomparable is not None:
        worse.append(report.judged.incomparable)
    return worse + [describe(row) for row in regressions(report.slices)]


def unchecked(report: Report) -> str | None:
    """Why no regression could be seen, of all metrics or of some; None when every one was compared."""
    if report.compared_with is None:
        if report.publication is not None:
            return f"it is the same as publication {report.publication}, and there is no earlier one{NOT_CHECKED}"
        return f"nothing is published to compare with{NOT_CHECKED}"
    rows = headline_rows(report)
    few = [row for row in rows if is_too_few(row)]
    if len(few) == len(rows):
        shared = max((row.n for row in rows), default=0)
        return f"{shared} questions: too few to tell, at least {LEAST_QUESTIONS} are needed{NOT_CHECKED}"
    named = ", ".join(f"{title_of(row.metric)} ({row.n})" for row in few)
    return f"too few questions to tell: {named}" if few else None


def is_worse(row: ComparisonRow) -> bool:
    """Whether a metric fell by more than chance explains."""
    return not is_too_few(row) and row.high < 0


def is_too_few(row: ComparisonRow) -> bool:
    """Whether a metric was compared on so few questions that no drop could be told from chance."""
    return row.n < LEAST_QUESTIONS


def explain(row: ComparisonRow) -> str:
    """A comparison in one sentence."""
    return (
        f"{title_of(row.metric)} fell from {row.published:.3f} to {row.candidate:.3f} on {row.n} questions "
        f"(difference between {row.low:+.3f} and {row.high:+.3f})"
    )


def compared_in_words(report: Report) -> str:
    """What was measured against what, e.g. ``the same as publication 2, against publication 1``."""
    against = None if report.compared_with is None else f"publication {report.compared_with}"
    if report.publication is None:
        return against or "nothing published"
    return f"the same as publication {report.publication}" + (f", against {against}" if against else "")
