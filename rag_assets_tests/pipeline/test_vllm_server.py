"""A real vLLM server as generator and as judge. The model is tiny and often wrong; the mechanics are the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_assets import corpus
from rag_assets.errors import GateRefused
from rag_assets.evaluation.answers.chat_generator import ChatGenerator
from rag_assets.evaluation.answers.generator import Answer, Context, Task
from rag_assets_tests.pipeline.test_answers import build, workspace
from rag_assets_tests.servers import ChatServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("vllm"),
]  # one server for all
REQUESTS = "vllm:request_success_total"
PROMPT_TOKENS = "vllm:prompt_tokens_total"
GENERATED_TOKENS = "vllm:generation_tokens_total"
CACHE_HITS = "vllm:prefix_cache_hits_total"


def endpoint(server: ChatServer, **more: Any) -> dict[str, Any]:
    return {"type": "openai", "url": server.url, "model": server.model, "timeout_seconds": 240, **more}


def test_vllm_answers_in_the_form_that_is_asked_for_and_only_once(
    tmp_path: Path, chat_server: ChatServer
) -> None:
    made = workspace(tmp_path, generator=endpoint(chat_server, max_tokens=300))
    names = (PROMPT_TOKENS, GENERATED_TOKENS)
    before = [chat_server.counter(name) for name in names]
    pipeline = build(made)
    counts = pipeline.answers()
    failed = len(counts.failures)
    assert (counts.made + failed, counts.made > 0) == (3, True)
    assert all("cut off" in reason for reason in counts.failures.values()), "a weak model talks on, no more"
    after = [chat_server.counter(name) for name in names]
    taken = [end - start for start, end in zip(before, after, strict=True)]
    assert [counts.prompt_tokens, counts.completion_tokens] == taken, "the tokens that the server counted"
    pipeline.judgements()
    report, _ = pipeline.evaluate()
    assert report.judged is not None
    assert (report.judged.answered, report.judged.unanswered) == (3 - failed, failed)
    assert [cost.completion_tokens > 0 for cost in report.costs if cost.step == "answers"] == [True]
    requests = chat_server.counter(REQUESTS)
    again = build(made).answers()
    assert again.reused == counts.made
    assert chat_server.counter(REQUESTS) - requests == failed


def test_questions_over_the_same_contexts_share_the_prompts_prefix(chat_server: ChatServer) -> None:
    contexts = tuple(Context(f"c{n}", "house.md", "House", f"Rule {n}: quiet hours. " * 30) for n in range(3))
    generator = ChatGenerator(
        corpus.ChatEndpoint.model_validate(endpoint(chat_server, max_tokens=300, concurrency=1))
    )
    (first,) = generator.answer([Task("When are the quiet hours?", contexts)])
    assert isinstance(first, Answer)
    hits = chat_server.counter(CACHE_HITS)
    generator.answer([Task("Who wrote the rules of the house?", contexts)])
    assert chat_server.counter(CACHE_HITS) - hits > 0.8 * first.prompt_tokens


def test_deepeval_judges_with_vllm_and_what_it_cannot_judge_is_not_published(
    tmp_path: Path, chat_server: ChatServer
) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    rule = {"metric": "faithfulness", "min": 0.0}
    made = workspace(tmp_path, [rule], judge=endpoint(chat_server, max_tokens=300), case_seconds=300)
    before = chat_server.counter(REQUESTS)
    pipeline = build(made)
    pipeline.answers()
    counts = pipeline.judgements()
    assert chat_server.counter(REQUESTS) - before >= 3
    assert counts.made + len(counts.failures) == 3
    assert all(counts.failures.values()), "every failure has its reason"
    report, _ = pipeline.evaluate()
    assert report.judged is not None
    assert report.judged.unjudged == len(counts.failures)
    assert all(
        0 <= score.value <= 1 and (score.evidence or score.metric == "answer_correctness")
        for answer in report.answers
        for score in answer.scores
    )
    if counts.failures:
        with pytest.raises(GateRefused):
            pipeline.publish(reason="test", by="tests")
