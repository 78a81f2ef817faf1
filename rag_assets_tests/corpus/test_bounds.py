"""Every number of a corpus file has a bound on each side: what is legal breaks no clock, limit or protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from rag_assets.corpus import Corpus, json_schema, load_corpus
from rag_assets.errors import CorpusFileError
from rag_assets_tests.corpus.test_schema import models

SOURCES = "sources:\n  - type: folder\n    path: docs\n"
HUGE = (1 << 63, -(1 << 63), 1e300, -1e300)


def numbers(schema: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All numbers of a JSON Schema, also those in lists, tables and unions."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield at, schema
        for name, inner in schema.items():
            yield from numbers(inner, f"{at}/{name}")
    if isinstance(schema, list):
        for place, inner in enumerate(schema):
            yield from numbers(inner, f"{at}/{place}")


def test_every_number_of_the_schema_has_bounds() -> None:
    found = dict(numbers(json_schema()))
    assert len(found) > 50
    unbounded = [
        at
        for at, schema in found.items()
        if not schema.keys() & {"maximum", "exclusiveMaximum"}
        or not schema.keys() & {"minimum", "exclusiveMinimum"}
    ]
    assert unbounded == []


def test_no_field_takes_a_huge_number() -> None:
    taken = []
    for model in sorted(set(models(Corpus)), key=lambda one: one.__name__):
        for name, field in model.model_fields.items():
            for number in HUGE:
                try:
                    value = TypeAdapter(field.rebuild_annotation()).validate_python(number)
                except ValidationError:
                    continue
                if not isinstance(value, (bool, BaseModel)):
                    taken.append(f"{model.__name__}.{name}: {number}")
    assert taken == []


@pytest.mark.parametrize(
    "text",
    [
        "parsing: {timeout_seconds: 1.0e+10}",
        "parsing: {memory_mb: 9000000000000}",
        "publication: {verify_days: 1.0e+300}",
        "gpu: {priority: 9000000000000}",
        "evaluation: {prices: {models: {m: {per_hour: 1.0e+300}}}}",
    ],
)
def test_a_huge_number_is_refused_at_its_line_with_what_is_allowed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "handbook.yaml"
    path.write_text(f"{SOURCES}{text}\n")
    with pytest.raises(CorpusFileError) as caught:
        load_corpus(path, {})
    assert str(caught.value).startswith(f"{path}:4: ")
    assert "; allowed: less than or equal to " in str(caught.value)
