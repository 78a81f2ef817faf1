"""What vLLM is asked for, without vLLM: speculation and structured output go together only where that is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_assets.corpus import Corpus, VllmModel
from rag_assets.inference.engine import EngineSettings
from rag_assets.inference.open_chat import identity


def corpus(ngram_tokens: int) -> Corpus:
    model = {"type": "vllm", "model": "some/model", "vllm": {"ngram_tokens": ngram_tokens}}
    return Corpus.model_validate(
        {
            "name": "handbook",
            "sources": [{"type": "folder", "path": "docs"}],
            "evaluation": {"gold": "g.jsonl", "answers": {"generator": model, "judge": model}},
        }
    )


def models(ngram_tokens: int) -> list[VllmModel]:
    answers = corpus(ngram_tokens).evaluation.answers
    assert answers is not None
    found = [answers.generator, answers.judge]
    assert all(isinstance(one, VllmModel) for one in found)
    return [one for one in found if isinstance(one, VllmModel)]


def arguments(model: VllmModel) -> dict[str, Any]:
    return EngineSettings("m", Path("/m"), "generate", "auto", None, model.vllm).arguments()


@pytest.mark.parametrize("ngram_tokens", [1, 4, 8, 32])
def test_what_is_guessed_repeats_enough_tokens_for_json(ngram_tokens: int) -> None:
    for model in models(ngram_tokens):
        speculative = arguments(model)["speculative_config"]
        assert (speculative["method"], speculative["num_speculative_tokens"]) == ("ngram", ngram_tokens)
        assert 8 <= speculative["prompt_lookup_min"] <= speculative["prompt_lookup_max"]


def test_nothing_is_guessed_unasked() -> None:
    for model in models(0):
        assert "speculative_config" not in arguments(model)


def test_what_was_guessed_is_kept_apart_from_what_was_not(tmp_path: Path) -> None:
    found = []
    for ngram_tokens in (0, 4, 8):
        model = models(ngram_tokens)[0].model_copy(update={"model": str(tmp_path)})
        found.append(identity(model))
    assert found[0] != found[1] == found[2]
    assert "guessed_from" not in found[0], "answers that were made without guesses stay"
