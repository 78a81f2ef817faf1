"""Settings come from RAG_… variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.settings import Settings


def test_without_variables_everything_is_local() -> None:
    assert Settings().store == ".rag"
    assert Settings().corpora == Path("corpora")


def test_variables_win_and_unknown_ones_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_STORE", "s3://bucket/prefix")
    monkeypatch.setenv("RAG_CORPORA", "elsewhere")
    monkeypatch.setenv("RAG_OVERRIDE__HANDBOOK__DESCRIPTION", "x")
    assert Settings().store == "s3://bucket/prefix"
    assert Settings().corpora == Path("elsewhere")


def test_a_variable_set_to_nothing_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_STORE", "")
    assert Settings().store == ".rag"


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
