"""The endpoint generator: what it sends, and what becomes of every way in which a server can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rag_assets import corpus
from rag_assets.errors import ConfigurationError
from rag_assets.evaluation.answers.chat_generator import ChatGenerator
from rag_assets.evaluation.answers.generator import Answer, Context, Task
from rag_assets.inference.chat import Failure
from rag_assets_tests.inference.faulty import FaultyServer, completion

GOOD = {"answer": "450 euros", "citations": [2, 9, 2], "abstained": False}
CONTEXTS = tuple(Context(f"c{n}", f"d{n}.md", f"Heading {n}", f"Passage {n}.") for n in (1, 2))
TASK = Task("How much is the rent?", CONTEXTS)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(lambda call, request: (200, GOOD)).running() as running:
        yield running


def generator(server: FaultyServer, **settings: Any) -> ChatGenerator:
    config = {"type": "openai", "url": server.url, "model": "m", "timeout_seconds": 5, **settings}
    return ChatGenerator(corpus.ChatEndpoint.model_validate(config))


def failure(generator: ChatGenerator) -> str:
    (result,) = generator.answer([TASK])
    assert isinstance(result, Failure)
    return result.reason


def test_the_answer_cites_contexts_and_counts_tokens(server: FaultyServer) -> None:
    (answer,) = generator(server).answer([TASK])
    assert isinstance(answer, Answer)
    assert (answer.text, answer.citations, answer.abstained) == ("450 euros", (1,), False)
    assert (answer.prompt_tokens, answer.completion_tokens) == (11, 3)


def test_the_question_comes_last_and_the_reply_is_bound_to_a_schema(server: FaultyServer) -> None:
    generator(server).answer([TASK, Task("Another question?", CONTEXTS)])
    first, second = (request["messages"] for request in server.requests)
    assert first[0] == second[0], "the instructions are a stable prefix"
    assert {first[1]["content"].split("Question:")[0]} == {second[1]["content"].split("Question:")[0]}
    ends = {messages[1]["content"].rsplit("\n", 1)[1] for messages in (first, second)}
    assert ends == {"Question: How much is the rent?", "Question: Another question?"}
    schema = server.requests[0]["response_format"]["json_schema"]["schema"]
    assert set(schema["required"]) == {"answer", "citations", "abstained"}


def test_an_abstention_has_neither_text_nor_citations(server: FaultyServer) -> None:
    server.script = lambda call, request: (200, {"answer": "no", "citations": [1], "abstained": True})
    (answer,) = generator(server).answer([TASK])
    assert isinstance(answer, Answer)
    assert (answer.text, answer.citations, answer.abstained) == ("", (), True)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("not json at all", "no chat completion|not the JSON"),
        ({"answer": 1}, "not the JSON that was asked for"),
        ({}, "not the JSON that was asked for"),
    ],
)
def test_rubbish_is_a_failure_and_never_an_answer(server: FaultyServer, reply: Any, reason: str) -> None:
    import re

    server.script = lambda call, request: (200, reply)
    assert re.search(reason, failure(generator(server)))


def test_a_busy_server_is_asked_again(server: FaultyServer) -> None:
    server.script = lambda call, request: (200, GOOD) if call > 2 else (429, '{"error": {"message": "busy"}}')
    (answer,) = generator(server, timeout_seconds=30).answer([TASK])
    assert isinstance(answer, Answer)
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_named_with_its_status(server: FaultyServer) -> None:
    server.script = lambda call, request: (429, '{"error": {"message": "slow down"}}')
    assert "429" in failure(generator(server, retries=1, timeout_seconds=30))


def test_a_silent_server_costs_the_time_budget_and_no_more(server: FaultyServer) -> None:
    server.delay = 3
    assert failure(generator(server, timeout_seconds=0.5, retries=5)) == "no reply within 0.5 s"


def test_a_dead_server_is_a_failure_of_each_question(server: FaultyServer) -> None:
    dead = ChatGenerator(
        corpus.ChatEndpoint.model_validate(
            {"type": "openai", "url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0}
        )
    )
    found = dead.answer([TASK, TASK])
    assert [isinstance(one, Failure) and "could not be reached" in one.reason for one in found] == [
        True,
        True,
    ]


def test_the_key_comes_from_the_environment_and_into_no_message(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "SECRETKEY")
    server.script = lambda call, request: (401, '{"error": {"message": "wrong key"}}')
    found = generator(server, key_variable="MY_KEY")
    assert "SECRETKEY" not in failure(found) + str(found.about)
    assert server.keys == ["Bearer SECRETKEY"]


def test_calls_run_at_the_same_time_and_no_more_than_allowed(server: FaultyServer) -> None:
    server.delay = 0.2
    assert len(generator(server, concurrency=4).answer([TASK] * 12)) == 12
    assert server.most_at_once == 4


def body(**changed: Any) -> str:
    return json.dumps({**completion(GOOD), **changed})


def choice(message: Any) -> list[Any]:
    return [{"index": 0, "finish_reason": "stop", "message": message}]


@pytest.mark.parametrize(
    "reply",
    [
        body(choices=[{"finish_reason": "stop"}]),
        body(choices=choice(None)),
        body(choices=choice({"content": ["parts"]})),
        body(choices=choice({"content": 5})),
        body(choices="abc"),
        body(choices=[None]),
        body(choices=None),
        body(choices=[]),
        "[]",
        '"x"',
        "5",
        "null",
        "[" * 100_000,
        "",
        "<html>busy</html>",
    ],
)
def test_a_reply_that_is_no_completion_fails_its_question_alone(server: FaultyServer, reply: str) -> None:
    server.script = lambda call, request: (200, reply)
    assert "reply" in failure(generator(server))


@pytest.mark.parametrize(
    "usage", [{}, None, [], "x", {"prompt_tokens": None}, {"prompt_tokens": 1e30}, {"completion_tokens": -4}]
)
def test_an_answer_without_sensible_counts_of_tokens_is_an_answer(server: FaultyServer, usage: Any) -> None:
    server.script = lambda call, request: (200, body(usage=usage))
    (answer,) = generator(server).answer([TASK])
    assert isinstance(answer, Answer)
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("450 euros", 0, 0)


def test_an_endless_reply_is_not_read_to_its_end(server: FaultyServer) -> None:
    server.script = lambda call, request: (200, " " * 50_000_000 + body())
    assert "longer than max_tokens = 16 can be" in failure(generator(server, max_tokens=16))


@pytest.mark.parametrize("status", [200, 401])
def test_a_key_that_a_server_repeats_is_not_shown(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret123456\n")
    said = "Incorrect key: sk-secret123456, header Authorization: Bearer sk-other \x1b[31m"
    server.script = lambda call, request: (
        status,
        json.dumps({"error": {"message": said}}) if status == 401 else said,
    )
    shown = failure(generator(server))
    assert server.keys == ["Bearer sk-secret123456"], (
        "the line break that mounted secrets end with is left out"
    )
    assert "sk-secret" not in shown and "sk-other" not in shown and "\x1b" not in shown


@pytest.mark.parametrize("key", ["sk secret", "sk-sécret", "sk-\x01secret"])
def test_a_key_that_no_header_can_carry_is_named_by_its_variable(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as caught:
        generator(server).answer([TASK])
    assert "ecret" not in str(caught.value)
    assert server.requests == []


def test_control_characters_do_not_reach_the_report(server: FaultyServer) -> None:
    server.script = lambda call, request: (200, {**GOOD, "answer": "450\x1b[31m euros\x00"})
    (answer,) = generator(server).answer([TASK])
    assert isinstance(answer, Answer)
    assert answer.text.isprintable()
