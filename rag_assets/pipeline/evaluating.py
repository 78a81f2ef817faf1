"""A candidate beside what is published: asked, judged and measured together.

log → what the candidate is compared with → the stages of ``evaluation.candidate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from rag_assets.evaluation.candidate.stage import evaluate_candidate
from rag_assets.evaluation.candidate.versions import AskedVersions
from rag_assets.evaluation.gate.standards import Standards
from rag_assets.evaluation.report.report import Report
from rag_assets.index.base import Base
from rag_assets.index.candidate import Candidate
from rag_assets.index.open import open_search
from rag_assets.ingest.context import IngestContext
from rag_assets.pipeline.building import built_candidate
from rag_assets.progress import Progress
from rag_assets.publication.candidates import is_published
from rag_assets.publication.log import PublicationLog


def asked_versions(context: IngestContext, standards: Standards) -> AskedVersions:
    """The latest candidate and what it is compared with.

    Raises:
        ConfigurationError: the corpus file does not ask for answers.
        VerificationFailed: the candidate has not been built.
    """
    models = standards.required_models
    candidate = built_candidate(context)
    return AskedVersions(
        standards, models, candidate, _base_of(context, candidate), partial(open_search, context)
    )


def evaluated(
    context: IngestContext,
    standards: Standards,
    candidate: Candidate,
    stages: Mapping[str, Any],
    progress: Progress,
) -> tuple[Report, str]:
    """The report on a candidate and where it lies in the store; arguments as of ``evaluate_candidate``."""
    base = _base_of(context, candidate)
    lost = None if base else PublicationLog(context.objects, context.corpus.name).lost_head()
    return evaluate_candidate(
        context,
        standards,
        candidate,
        lost.base if lost else base,
        lost=lost is not None,
        seen=is_published(context.objects, context.corpus.name, candidate),
        search=partial(open_search, context),
        stages=stages,
        progress=progress,
    )


def _base_of(context: IngestContext, candidate: Candidate) -> Base | None:
    before = PublicationLog(context.objects, context.corpus.name).before(candidate.version)
    return None if before is None else before.base
