"""Fields of a corpus file set from the environment: ``RAG_OVERRIDE__<CORPUS>__<FIELD>__<SUBFIELD>=value``.

What differs between a laptop and a cluster can be set without a second corpus file. Names are
separated by two underscores, so that corpus and field names may hold one; an item of a list is
named by its number. The value is YAML: ``512``, ``true``, ``null`` (unset), ``[a, b]``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rag_assets.corpus.yaml_text import YamlMistake, parse_yaml
from rag_assets.errors import CorpusFileError

OVERRIDE_PREFIX = "RAG_OVERRIDE__"
SHOWN_CHARACTERS = 80

Location = tuple[int | str, ...]


def apply_overrides(values: dict[str, Any], name: str, environ: Mapping[str, str]) -> dict[Location, str]:
    """Write the overrides of the corpus ``name`` into ``values``; return the variable behind each field.

    Raises:
        CorpusFileError: naming the variable that cannot be applied. Unknown fields are found by validation.
    """
    applied: dict[Location, str] = {}
    for variable, corpus, fields in _overrides(environ):
        if corpus != name:
            continue
        if not all(fields):
            raise CorpusFileError(
                f"environment {variable}: names no field; "
                f"allowed: {OVERRIDE_PREFIX}<CORPUS>__<FIELD>__<SUBFIELD>"
            )
        target: Any = values
        location: Location = ()
        for position, part in enumerate(fields):
            key = _key(target, part, variable, ".".join(fields[:position]))
            location = (*location, key)
            if position == len(fields) - 1:
                target[key] = _value(variable, environ[variable])
            elif isinstance(target, list):
                target = target[key]  # type: ignore[index]
            else:
                target = target.setdefault(key, {})
        applied[location] = variable
    return applied


def stray_overrides(names: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """One line for each override of a corpus that does not exist."""
    mistakes = []
    for variable, corpus, _ in _overrides(environ):
        if corpus not in names:
            close = difflib.get_close_matches(corpus, names, n=1)
            hint = f"did you mean {close[0].upper()}? " if close else ""
            allowed = ", ".join(name.upper() for name in names) or "none, for there is no corpus file"
            mistakes.append(f"environment {variable}: found no corpus {corpus!r}; {hint}allowed: {allowed}")
    return mistakes


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    for variable in sorted(environ):
        if variable.startswith(OVERRIDE_PREFIX):
            corpus, *fields = variable.removeprefix(OVERRIDE_PREFIX).lower().split("__")
            yield variable, corpus, fields or [""]


def _key(target: Any, part: str, variable: str, above: str) -> int | str:
    if isinstance(target, dict):
        return part
    if isinstance(target, list):
        if part.isdecimal() and int(part) < len(target):
            return int(part)
        raise CorpusFileError(
            f"environment {variable}: found {part!r} after {above}; allowed: the number of one of its "
            f"{len(target)} items, from 0"
        )
    raise CorpusFileError(f"environment {variable}: {above!r} is not a group of fields")


def _value(variable: str, text: str) -> Any:
    try:
        return parse_yaml(text)[0]
    except YamlMistake as error:
        shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
        raise CorpusFileError(
            f"environment {variable}: found {shown!r}; allowed: a YAML value: {error}"
        ) from error
