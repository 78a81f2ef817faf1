"""Questions that a chat model proposes: only with a quote that stands in the document."""

from __future__ import annotations

from typing import Any

import pytest

from rag_assets import corpus
from rag_assets.evaluation.answers.propose import ChatProposer
from rag_assets.evaluation.gold.propose import Draft
from rag_assets.evaluation.gold.question import Question
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.servers import ChatServer

DRAFT = Draft(
    "rent.md", "Rent", "# Rent\n\nThe tenant pays 450 euros of rent on the third working day of each month."
)
QUOTE = "The tenant pays 450 euros of rent on the third working day"
GOOD = {"question": "How much is the rent?", "answer": "450 euros", "quote": QUOTE}


def propose(status: int, reply: Any) -> Question | str:
    with FaultyServer(lambda call, request: (status, reply)).running() as server:
        config = {"type": "openai", "url": server.url, "model": "m", "retries": 0}
        (found,) = ChatProposer(corpus.ChatEndpoint.model_validate(config)).propose([DRAFT])
    return found


def test_a_proposal_names_its_document_answer_and_proof() -> None:
    found = propose(200, GOOD)
    assert isinstance(found, Question)
    assert (found.question, found.answer) == ("How much is the rent?", "450 euros")
    assert (found.documents, found.passages, found.tags) == (("rent.md",), (QUOTE,), ("proposed",))


@pytest.mark.parametrize(
    ("status", "reply", "reason"),
    [
        (
            200,
            {**GOOD, "quote": "The tenant pays 470 dollars of tax in the second week"},
            "does not stand in",
        ),
        (200, {**GOOD, "quote": "the tenant"}, "does not stand in"),
        (200, {**GOOD, "question": " "}, "no question or no answer"),
        (200, {"question": "How much?"}, "not the JSON"),
        (500, "{}", "answered 500"),
    ],
)
def test_what_is_not_proved_is_not_proposed(status: int, reply: Any, reason: str) -> None:
    assert reason in str(propose(status, reply))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("vllm")
def test_a_real_model_proposes_or_says_why_not(chat_server: ChatServer) -> None:
    config = {"type": "openai", "url": chat_server.url, "model": chat_server.model, "timeout_seconds": 240}
    proposer = ChatProposer(corpus.ChatEndpoint.model_validate({**config, "max_tokens": 300}))
    for found in proposer.propose([DRAFT, DRAFT]):
        assert found.passages if isinstance(found, Question) else found
