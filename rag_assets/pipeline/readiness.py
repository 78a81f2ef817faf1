"""What a valid corpus file would stumble over on this machine: missing folders and packages of an extra.

corpus file → warnings. They are no mistakes of the file: another machine, which runs it, may have both.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from rag_assets import corpus as models
from rag_assets.errors import install

SUITES = ("great_expectations", "py3langid")
CLIENT, JUDGE = ("openai",), ("openai", "deepeval")


def missing_here(corpus: models.Corpus) -> list[str]:
    """One sentence for each thing that a run of the corpus needs and this machine lacks."""
    found = []
    for place, source in enumerate(corpus.sources):
        if isinstance(source, models.FolderSource) and not corpus.resolve(source.path).is_dir():
            found.append(f"sources.{place}.path: there is no folder {corpus.resolve(source.path)}")
    for field, packages in _wanted(corpus):
        lacking = [package for package in packages if find_spec(package) is None]
        if lacking:
            found.append(f"{field}: {', '.join(lacking)} not installed: {install('quality')}")
    return found


def _wanted(corpus: models.Corpus) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Fields that need packages of the extra ``quality``, and which."""
    if corpus.quality is not None:
        yield "quality", SUITES
    answers = corpus.evaluation.answers
    if answers is not None and answers.generator.type == "openai":
        yield "evaluation.answers.generator", CLIENT
    if answers is not None and answers.judge.type == "openai":
        yield "evaluation.answers.judge", JUDGE
