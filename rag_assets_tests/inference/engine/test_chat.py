"""A chat model in a vLLM engine of this process, as generator and as judge: weak answers, real mechanics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_assets import corpus
from rag_assets.evaluation.answers.chat_generator import ChatGenerator
from rag_assets.evaluation.answers.generator import Answer, Context, Task
from rag_assets.evaluation.judging.deepeval_judge import DeepEvalJudge
from rag_assets.evaluation.judging.judge import Case, Judgement
from rag_assets.inference.chat import Failure
from rag_assets.inference.open_chat import identity
from rag_assets_tests.inference.engine.conftest import SMALL

# vLLM and PyTorch warn about their own code.
pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]
CONTEXTS = (
    Context("c", "house.md", "House", "Quiet hours start at ten in the evening and end at seven. " * 3),
)
QUESTIONS = ("When do the quiet hours start?", "When do they end?", "Who wrote this?")


def model(folder: Path, **more: Any) -> corpus.VllmModel:
    settings = {"max_model_len": 3072, **SMALL}
    return corpus.VllmModel.model_validate(
        {"type": "vllm", "model": str(folder), "max_tokens": 200, "vllm": settings, **more}
    )


def test_answers_have_the_form_that_was_asked_for(smollm2: Path) -> None:
    generator = ChatGenerator(model(smollm2))
    found = generator.answer([Task(question, CONTEXTS) for question in QUESTIONS])
    assert len(found) == 3
    for one in found:
        assert one.prompt_tokens > 50
        assert one.completion_tokens > 0
        if isinstance(one, Failure):  # a weak model talks on
            assert "cut off" in one.reason
    assert any(isinstance(one, Answer) for one in found)


def test_a_reply_that_is_too_long_or_too_late_is_a_failure_of_that_question_alone(smollm2: Path) -> None:
    (cut,) = ChatGenerator(model(smollm2, max_tokens=16)).answer([Task(QUESTIONS[0], CONTEXTS)])
    assert isinstance(cut, Failure)
    assert "max_tokens = 16" in cut.reason
    (late,) = ChatGenerator(model(smollm2, timeout_seconds=0.001)).answer([Task(QUESTIONS[0], CONTEXTS)])
    assert isinstance(late, Failure)
    assert "no reply within" in late.reason
    long = (Context("c", "long.md", "", "word " * 5000),)
    refused, good = ChatGenerator(model(smollm2)).answer([Task("Long?", long), Task(QUESTIONS[0], CONTEXTS)])
    assert isinstance(refused, Failure)
    assert "refused the prompt" in refused.reason
    assert good.completion_tokens > 0


def test_ngram_speculation_gives_the_same_replies(smollm2: Path) -> None:
    plain = ChatGenerator(model(smollm2)).answer([Task(question, CONTEXTS) for question in QUESTIONS])
    guessing = model(smollm2, vllm={"max_model_len": 3072, **SMALL, "ngram_tokens": 4})
    fast = ChatGenerator(guessing).answer([Task(question, CONTEXTS) for question in QUESTIONS])
    assert [type(one) for one in fast] == [type(one) for one in plain]


def test_it_judges_or_says_that_it_could_not(smollm2: Path) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    judge = DeepEvalJudge(model(smollm2), case_seconds=300)
    assert judge.about["backend"] == "deepeval"
    case = Case(
        QUESTIONS[0], tuple(one.text for one in CONTEXTS), "They start at ten.", "At ten in the evening."
    )
    (found,) = judge.judge([case])
    assert isinstance(found, Judgement | Failure)
    assert found.prompt_tokens > 0


def test_what_determines_replies_is_in_the_fingerprint(smollm2: Path, tmp_path: Path) -> None:
    one = ChatGenerator(model(smollm2))
    assert ChatGenerator(model(smollm2, concurrency=1)).fingerprint == one.fingerprint
    assert ChatGenerator(model(smollm2, dtype="bfloat16")).fingerprint != one.fingerprint
    assert ChatGenerator(model(smollm2, temperature=0.5)).fingerprint != one.fingerprint
    assert len(str(identity(model(smollm2))["files"])) == 32
