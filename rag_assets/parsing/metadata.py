"""Foreign metadata values → JSON values, bounded.

Dates become ISO 8601, unknown objects their text. The number of values is bounded because a few
hundred bytes of YAML aliases can stand for billions of values.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

from rag_assets.parsing.document import JSON

MAX_VALUES = 10_000
MAX_DEPTH = 50


class TooMuchMetadata(ValueError):
    """More values, or deeper ones, than any honest document has."""


def jsonable(values: Mapping[Any, Any]) -> dict[str, JSON]:
    """A mapping with text keys and JSON values only. Raises TooMuchMetadata."""
    budget = [MAX_VALUES]
    return {_key(key): _value(value, 1, budget) for key, value in values.items()}


def well_formed(text: str) -> str:
    """Text that UTF-8 can hold: surrogate pairs joined, lone surrogates replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _key(key: Any) -> str:
    return well_formed(key if isinstance(key, str) else str(key))


def _value(value: Any, depth: int, budget: list[int]) -> JSON:
    budget[0] -= 1
    if budget[0] < 0 or depth > MAX_DEPTH:
        raise TooMuchMetadata(f"more than {MAX_VALUES} values or {MAX_DEPTH} levels")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_key(key): _value(item, depth + 1, budget) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_value(item, depth + 1, budget) for item in value]
    return well_formed(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
