"""What a valid corpus file would stumble over: missing folders, packages of an extra, pushes that do not count.

corpus file → warnings. They are no mistakes of the file: another machine, which runs it, may have what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from rag_assets import corpus as models
from rag_assets.errors import install

SUITES, JUDGE, ENGINE, CLUSTER = ("great_expectations", "py3langid"), ("deepeval",), ("vllm",), ("ray",)


def missing_here(corpus: models.Corpus) -> list[str]:
    """One sentence for each thing that a run of the corpus needs and this machine lacks."""
    found = []
    for place, source in enumerate(corpus.sources):
        if isinstance(source, models.FolderSource) and not corpus.resolve(source.path).is_dir():
            found.append(f"sources.{place}.path: there is no folder {corpus.resolve(source.path)}")
    webhooks = corpus.events and corpus.events.webhooks
    if webhooks and "github" in webhooks.accept and webhooks.repository is None:
        found.append("events.webhooks.repository is unset: no push of GitHub counts; set it to owner/name")
    for field, extra, packages in _wanted(corpus):
        lacking = [package for package in packages if find_spec(package) is None]
        if lacking:
            found.append(f"{field}: {', '.join(lacking)} not installed: {install(extra)}")
    return found


def _wanted(corpus: models.Corpus) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Fields that need packages of an extra: field, extra, packages."""
    if corpus.quality is not None:
        yield "quality", "quality", SUITES
    if corpus.engine == "ray":
        yield "engine", "ray", CLUSTER
    if corpus.embedder.type == "vllm":
        yield "embedder", "vllm", ENGINE
    answers = corpus.evaluation.answers
    if answers is not None and isinstance(answers.generator, models.VllmModel):
        yield "evaluation.answers.generator", "vllm", ENGINE
    if answers is not None and not isinstance(answers.judge, models.LocalJudge):
        yield "evaluation.answers.judge", "quality", JUDGE
        if isinstance(answers.judge, models.VllmModel):
            yield "evaluation.answers.judge", "vllm", ENGINE
