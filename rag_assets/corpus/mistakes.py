"""From what pydantic says to what helps: ``file:line: field: found X; allowed Y``. No I/O."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from rag_assets.corpus.models import PATTERNS_IN_WORDS, Corpus
from rag_assets.corpus.overrides import Location
from rag_assets.errors import redacted

SHOWN_CHARACTERS = 80
_KINDS = {
    "a valid dictionary or": "a group of fields",
    "a valid tuple": "a list",
    "a valid list": "a list",
    "a valid string": "text; put it into quotes if it looks like a number or a date",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a finite number": "a finite number",
    "a valid boolean": "true or false",
    "an instance of": "a group of fields",
    "not a valid path": "a path",
}
"""How pydantic's messages begin, after "Input (should be|is)", and what YAML calls the same."""


def explain(path: Path, document: Any, overrides: Mapping[Location, str], error: ValidationError) -> str:
    """One line for each mistake, in the order of the file.

    Args:
        path: the corpus file.
        document: its content with positions.
        overrides: fields that were set by an environment variable.
        error: what validation found.
    """
    problems = [problem for problem in error.errors() if not _follows(problem, error.errors())]
    lines: list[tuple[int, str]] = []
    for problem in problems:
        location, message = _describe(problem)
        variable = _variable_at(location, document, overrides)
        line = 0 if variable else line_of(document, location)
        where = f"environment {variable}" if variable else f"{path}:{line}"
        field = ".".join(str(part) for part in location) or "(file)"
        lines.append((line, f"{where}: {field}: {message}"))
    return "\n".join(text for _, text in sorted(lines, key=lambda entry: entry[0]))


def line_of(document: Any, location: Location) -> int:
    """1-based line of the deepest part of ``location`` that stands in the file."""
    line = 1
    for part in location:
        if isinstance(document, CommentedMap) and part in document:
            line = document.lc.key(part)[0] + 1
        elif isinstance(document, CommentedSeq) and isinstance(part, int) and part < len(document):
            line = document.lc.item(part)[0] + 1
        else:
            break
        document = document[part]
    return int(line)


def _follows(problem: ErrorDetails, problems: list[ErrorDetails]) -> bool:
    """True for "too few items" when items are missing only because they have mistakes of their own."""
    depth = len(problem["loc"])
    return problem["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == problem["loc"] for other in problems
    )


def _describe(problem: ErrorDetails) -> tuple[Location, str]:
    """(location in the file, message) of one problem."""
    kind, raw, context = problem["type"], problem["loc"], problem.get("ctx", {})
    # The tag that chose a source's model is part of the location but no field of the file.
    location = raw[:2] + raw[3:] if raw[:1] == ("sources",) else raw
    location = location[:-1] if location[-1:] == ("[key]",) else location
    if kind == "extra_forbidden":
        allowed = _fields_at(raw[:-1])
        close = difflib.get_close_matches(str(raw[-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return location, f"unknown field; {hint}allowed: {', '.join(allowed)}"
    if kind == "missing":
        return location, "missing; this field is required"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tags = ", ".join(_source_models())
        found = "missing" if kind == "union_tag_not_found" else f"found {context['tag']!r}"
        return (*location, "type"), f"{found}; allowed: {tags}"
    if kind == "value_error":
        return location, str(context["error"])
    return location, f"found {_shown(problem['input'])}; allowed: {_allowed(problem)}"


def _allowed(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        return PATTERNS_IN_WORDS[context["pattern"]]
    if problem["type"] == "literal_error":
        return str(context["expected"])
    if problem["type"] == "too_short":
        return f"at least {context['min_length']} item{'s' if context['min_length'] != 1 else ''}"
    message = problem["msg"]
    for start in ("Input should be ", "Input is ", "String should have "):
        message = message.removeprefix(start)
    return next((words for start, words in _KINDS.items() if message.startswith(start)), message)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a group of fields"
    text = "null" if value is None else redacted(repr(value))
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _variable_at(location: Location, document: Any, overrides: Mapping[Location, str]) -> str | None:
    """The variable that set the field at ``location``, one above it, or one below it that the file lacks."""
    for length in range(len(location), 0, -1):
        if location[:length] in overrides:
            return overrides[location[:length]]
    node = document
    for part in location:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            below = (name for place, name in overrides.items() if place[: len(location)] == location)
            return next(below, None)
    return None


def _fields_at(location: Location) -> list[str]:
    """Names of the fields that the model at ``location`` (as pydantic names it) has."""
    models: list[type[BaseModel]] = [Corpus]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [model for model in models if model is _source_models().get(part)]
        models = tagged or [
            inner
            for model in models
            if part in model.model_fields
            for inner in _models_in(model.model_fields[part].annotation)
        ]
    return sorted({name for model in models for name in model.model_fields})


def _source_models() -> dict[str, type[BaseModel]]:
    models = _models_in(Corpus.model_fields["sources"].annotation)
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in models}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
