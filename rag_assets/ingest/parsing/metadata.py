"""Foreign metadata values → JSON values, bounded.

Dates become ISO 8601, unknown objects their text. A few hundred bytes of YAML aliases can stand for billions
of values and 50 KB for hundreds of megabytes of text, so both are counted before anything is copied.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rag_assets.errors import well_formed
from rag_assets.ingest.parsing.bounds import MAX_METADATA, MAX_NAME, MAX_VALUE
from rag_assets.ingest.parsing.document import JSON, WARNINGS

MAX_VALUES = 10_000
MAX_DEPTH = 50
MAX_BITS = 14_000  # of a number that is written in decimal digits: Python refuses above 4,300 digits


class TooMuchMetadata(ValueError):
    """More values, or deeper ones, than any honest document has."""


def check_extent(values: Mapping[Any, Any]) -> None:
    """Raise TooMuchMetadata where the values are too many or too deep, every alias counted as what it stands for."""
    _count(values.values(), 1, 0)


def check_depth(depth: int) -> None:
    """Raise TooMuchMetadata for a value that lies so deep."""
    if depth > MAX_DEPTH:
        raise TooMuchMetadata(f"more than {MAX_DEPTH} levels")


def bounded(values: Mapping[Any, Any]) -> tuple[dict[str, JSON], list[str]]:
    """Metadata with text keys, JSON values, and no more characters than the bounds allow.

    Args:
        values: as a library gives them.

    Returns:
        The metadata, and one sentence for each value that was cut or left out.
    """
    try:
        check_extent(values)
    except TooMuchMetadata as error:
        return {}, [f"The metadata was left out: it has {error}."]
    kept: dict[str, JSON] = {}
    warnings: list[str] = []
    copy = _Copy(MAX_METADATA)
    for key, value in values.items():
        name = _name(key)
        if name is None or name == WARNINGS:
            warnings.append(f"A metadata value was left out: its name is {_why(name)}.")
            continue
        before, copy.cut = copy.left, False
        try:
            kept[name] = copy.named(name, value)
        except _NoRoom:
            copy.left = before
            warnings.append(
                f"The metadata value {name!r} was left out: all of them may have {MAX_METADATA:,} characters."
            )
            continue
        if copy.cut:
            warnings.append(f"The metadata value {name!r} was cut: a text may have {MAX_VALUE:,} characters.")
    return kept, warnings


def _count(values: Iterable[Any], depth: int, counted: int) -> int:
    for value in values:
        counted += 1
        if counted > MAX_VALUES:
            raise TooMuchMetadata(f"more than {MAX_VALUES} values")
        check_depth(depth)
        if isinstance(value, dict):
            counted = _count(value.values(), depth + 1, counted)
        elif isinstance(value, (list, tuple, set, frozenset)):
            counted = _count(value, depth + 1, counted)
    return counted


class _NoRoom(Exception):
    """A value has more characters than are left."""


class _Copy:
    """Copies values within so many characters.

    Attributes:
        left: characters that remain.
        cut: whether a text was cut or a name left out.
    """

    def __init__(self, left: int) -> None:
        self.left = left
        self.cut = False

    def named(self, name: str, value: Any) -> JSON:
        """A value under a name as JSON. Raises _NoRoom."""
        self._take(len(name) + 2)
        return self._of(value)

    def _of(self, value: Any) -> JSON:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return self._mapping(value)
        if isinstance(value, (set, frozenset)):
            # A set has another order in every process.
            value = sorted(value, key=lambda item: (type(item).__name__, _scalar(item)))
        if isinstance(value, (list, tuple)):
            self._take(2)
            return [self._of(item) for item in value]
        if value is None or isinstance(value, bool) or _is_number(value):
            self._take(len(str(value)))
            return value  # type: ignore[no-any-return]
        return self._text(_scalar(value))

    def _text(self, text: str) -> str:
        self.cut |= len(text) > MAX_VALUE
        text = well_formed(text[:MAX_VALUE])
        self._take(len(text) + 2)
        return text

    def _mapping(self, values: dict[Any, Any]) -> dict[str, JSON]:
        self._take(2)
        found: dict[str, JSON] = {}
        for key, value in values.items():
            name = _name(key)
            if name is None:
                self.cut = True
            else:
                found[name] = self.named(name, value)
        return found

    def _take(self, characters: int) -> None:
        self.left -= characters
        if self.left < 0:
            raise _NoRoom


def _is_number(value: Any) -> bool:
    """Whether a value is a number that every reader of JSON can hold."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    return isinstance(value, float) and math.isfinite(value)


def _name(key: Any) -> str | None:
    """A key as text; None if it is too long."""
    name = _scalar(key)
    return well_formed(name) if len(name) <= MAX_NAME else None


def _why(name: str | None) -> str:
    return f"longer than {MAX_NAME} characters" if name is None else f"{name!r}, which is taken"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return hex(value)
    return str(value)
