"""Reading corpus files: one by path, or all of a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rag_assets.corpus.mistakes import explain, line_of
from rag_assets.corpus.models import Corpus
from rag_assets.corpus.overrides import apply_overrides, stray_overrides
from rag_assets.corpus.yaml_text import YamlMistake, parse_yaml, text_of
from rag_assets.errors import CorpusFileError

SWITCHES = (("gpu",), ("quality",), ("evaluation", "answers"), ("events", "watch"))
"""Groups that are off when unset and on when written: a field left empty could mean either."""


def load_corpus(path: Path, environ: Mapping[str, str] | None = None) -> Corpus:
    """Read and validate one corpus file.

    Args:
        path: the YAML file.
        environ: environment for ``RAG_OVERRIDE__<CORPUS>__<FIELD>__…`` (default: the process's).

    Raises:
        CorpusFileError: naming every mistake with line, field, value found and what is allowed.
    """
    values, document = _parse(path)
    empty = [
        f"{path}:{line_of(document, field)}: {'.'.join(field)}: found nothing; write {field[-1]}: {{}} to turn it on, "
        "or leave the line out"
        for field in SWITCHES
        if _is_left_empty(values, field)
    ]
    if empty:
        raise CorpusFileError("\n".join(empty))
    values.setdefault("name", path.stem)
    overrides = apply_overrides(values, path.stem, os.environ if environ is None else environ)
    try:
        corpus = Corpus.model_validate(values)
    except ValidationError as error:
        raise CorpusFileError(explain(path, document, overrides, error)) from error
    if corpus.name != path.stem:
        variable = overrides.get(("name",))
        where = f"environment {variable}" if variable else f"{path}:{line_of(document, ('name',))}"
        found = f"found {corpus.name!r}; allowed: the file's name, {path.stem!r}"
        raise CorpusFileError(f"{where}: name: {found}")
    return corpus.placed(path.resolve().parent)


def corpus_files(folder: Path) -> dict[str, Path]:
    """The corpus files of a folder by name, sorted. Raises CorpusFileError if that cannot be a folder."""
    try:
        return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    except OSError as error:
        raise CorpusFileError(
            f"{folder.absolute()}: cannot be listed: {error.strerror}; set RAG_CORPORA to the folder that has them"
        ) from error


def load_corpora(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, Corpus]:
    """All corpora of a folder by name, sorted. Raises CorpusFileError listing the mistakes of all files."""
    files = corpus_files(folder)
    if not folder.is_dir():
        raise CorpusFileError(
            f"{folder.absolute()}: no such folder; set RAG_CORPORA to the folder with the corpus files"
        )
    corpora: dict[str, Corpus] = {}
    mistakes = [f"{path}:1: found the ending .yml; allowed: .yaml" for path in sorted(folder.glob("*.yml"))]
    for name, path in files.items():
        try:
            corpora[name] = load_corpus(path, environ)
        except CorpusFileError as error:
            mistakes.append(str(error))
    mistakes += stray_overrides([*files], os.environ if environ is None else environ)
    if mistakes:
        raise CorpusFileError("\n".join(mistakes))
    return corpora


def _parse(path: Path) -> tuple[dict[str, Any], Any]:
    """The file's values, and the same as a document that knows the line of each of them."""
    try:
        found, document = parse_yaml(text_of(path))
    except OSError as error:
        raise CorpusFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CorpusFileError(f"{path}: cannot be read: byte {error.start} is not UTF-8") from error
    except YamlMistake as error:
        raise CorpusFileError(f"{path}:{error.line}: {error}") from error
    values = _with_text_keys(found)
    if not isinstance(values, dict):
        kind = "nothing" if values is None else f"a {type(values).__name__}"
        raise CorpusFileError(f"{path}:1: found {kind}; allowed: a mapping of fields, such as 'sources:'")
    return values, document


def _is_left_empty(values: Mapping[str, Any], field: tuple[str, ...]) -> bool:
    group: Any = values
    for name in field[:-1]:
        group = group.get(name)
        if not isinstance(group, dict):
            return False
    return field[-1] in group and group[field[-1]] is None


def _with_text_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _with_text_keys(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_text_keys(value) for value in node]
    return node
