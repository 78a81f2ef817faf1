"""Editors complete and check corpus files from the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel
from ruamel.yaml import YAML

from rag_assets.corpus import Corpus, json_schema
from rag_assets.corpus.models import PATTERNS_IN_WORDS
from rag_assets_tests.corpus.test_corpus_file import FULL, MINIMAL


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """All models that a corpus file is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for inner in get_args(annotation):
        yield from models(inner)


def patterns(schema: Any) -> Iterator[str]:
    """Every regular expression that the schema holds."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        yield from schema.get("patternProperties", {})
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from patterns(inner)


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_the_schema_accepts_what_loads(text: str) -> None:
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator(json_schema()).validate(YAML(typ="safe").load(text))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("max_tokens", "max_token"),
        ("recall@5", "recal@5"),
        ("precision: float32", "precision: float31"),
        ("type: s3", "type: s4"),
        ("    path: ../docs\n", ""),
        ("keep: 5", "keep: 1"),
    ],
)
def test_the_schema_refuses_mistakes(before: str, after: str) -> None:
    assert before in FULL
    values = YAML(typ="safe").load(FULL.replace(before, after, 1))
    assert not Draft202012Validator(json_schema()).is_valid(values)


def test_every_field_is_described() -> None:
    found = set(models(Corpus))
    assert len(found) > 10
    missing = [
        f"{model.__name__}.{name}"
        for model in found
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert missing == []


def test_every_pattern_can_be_said_in_words() -> None:
    found = {*patterns(json_schema())}
    assert len(found) == len(PATTERNS_IN_WORDS)
    assert found <= PATTERNS_IN_WORDS.keys()
