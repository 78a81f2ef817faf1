"""Counting tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from tokenizers import Tokenizer

from rag_assets.errors import ConfigurationError
from rag_assets.ingest.chunking.tokens import CharacterCounter, TokenizerCounter
from rag_assets_tests.ingest.chunking.markdown import documents


def test_counts_are_those_of_the_model_without_special_tokens(minilm: TokenizerCounter) -> None:
    assert minilm.count(["hello world", "", "internationalization's"]) == [2, 0, 4]


def test_long_texts_are_counted_to_their_end(minilm: TokenizerCounter) -> None:
    assert minilm.count(["word " * 5000]) == [5000]


@settings(max_examples=200, deadline=None)
@given(left=documents(), right=documents())
def test_an_additive_counter_adds_up(minilm: TokenizerCounter, left: str, right: str) -> None:
    assert minilm.additive
    for space in ("\n", " ", "\t", "\r\n", "\n\n"):
        whole, first, second = minilm.count([left + space + right, left, space + right])
        assert whole == first + second


def test_a_tokenizer_that_keeps_white_space_is_not_additive(tmp_path: Path) -> None:
    from tokenizers import models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert not TokenizerCounter(tmp_path / "tokenizer.json").additive


def test_the_identity_follows_the_file(tokenizer_json: Path, tmp_path: Path) -> None:
    settings = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    settings["normalizer"]["lowercase"] = not settings["normalizer"]["lowercase"]
    changed = tmp_path / "tokenizer.json"
    changed.write_text(json.dumps(settings), encoding="utf-8")
    assert TokenizerCounter(tokenizer_json).identity == TokenizerCounter(tokenizer_json).identity
    assert TokenizerCounter(tokenizer_json).identity != TokenizerCounter(changed).identity


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_a_file_that_is_no_tokenizer_is_a_configuration_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json cannot be loaded"):
        TokenizerCounter(path)


def test_characters_are_rounded_up() -> None:
    assert CharacterCounter().count(["", "a", "abcd", "abcde"]) == [0, 1, 1, 2]
