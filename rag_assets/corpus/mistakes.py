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
    location, models = _walk(raw)
    location = location[:-1] if location[-1:] == ("[key]",) else location
    if kind == "extra_forbidden":
        allowed = sorted({name for model in _walk(raw[:-1])[1] for name in model.model_fields})
        close = difflib.get_close_matches(str(raw[-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return location, f"unknown field; {hint}allowed: {', '.join(allowed)}"
    if kind == "missing":
        return location, "missing; this field is required"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tags = ", ".join(_by_tag(models))
        found = "missing" if kind == "union_tag_not_found" else f"found {context['tag']!r}"
        return (*location, "type"), f"{found}; allowed: {tags}"
    if kind == "value_error":
        return location, str(context["error"])
    chosen = _by_tag(models)
    if kind == "model_attributes_type" and chosen:
        close = difflib.get_close_matches(str(problem["input"]), chosen, n=1)
        hint = f"did you mean {{type: {close[0]}}}? " if close else ""
        allowed_types = " or ".join(f"{{type: {one}, …}}" for one in chosen)
        return location, f"found {_shown(problem['input'])}; {hint}allowed: {allowed_types}"
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


def _walk(raw: Location) -> tuple[Location, list[type[BaseModel]]]:
    """From where pydantic says to where it stands in the file, and the models that may stand there.

    The tag that chose a model, such as the type of a source, is part of pydantic's location but no field.
    """
    location: list[str | int] = []
    models: list[type[BaseModel]] = [Corpus]
    for part in raw:
        chosen = None if isinstance(part, int) else _by_tag(models).get(part)
        if chosen is not None:
            models = [chosen]
            continue
        location.append(part)
        if isinstance(part, str):
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return tuple(location), models


def _by_tag(models: list[type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """Models of a union by their type; none where there is nothing to choose."""
    if len(models) < 2:
        return {}
    return {
        tag: model
        for model in models
        if "type" in model.model_fields
        for tag in get_args(model.model_fields["type"].annotation)
    }


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
