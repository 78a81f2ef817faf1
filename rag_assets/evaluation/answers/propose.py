"""Proposer backend: a chat model writes questions on documents.

document → question, answer and quote as JSON. A quote that the document does not hold refuses the
proposal: what a model invents must not become a standard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from rag_assets import corpus
from rag_assets.evaluation.gold.propose import Draft, question_of
from rag_assets.evaluation.gold.question import Question
from rag_assets.evaluation.gold.words import PASSAGE_COVERAGE, RUN, covered, runs, words
from rag_assets.inference.chat import Chat, Failure
from rag_assets.inference.open_chat import open_chat

SHOWN_CHARACTERS = 8000
INSTRUCTIONS = (
    "You write questions that test a search engine. From the document, write one question that a user who does not "
    "know the document would ask in their own words, the short answer to it, and the sentence of the document that "
    "proves the answer, copied exactly. Do not mention the document."
)


class _Proposal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    question: str = Field(description="The question.")
    answer: str = Field(description="The short answer.")
    quote: str = Field(description="The sentence that proves it, copied exactly.")


class ChatProposer:
    """Proposes with a chat model."""

    def __init__(self, config: corpus.ChatModel) -> None:
        self._config = config

    def propose(self, drafts: Sequence[Draft]) -> list[Question | str]:
        """See ``gold.propose.Proposer``."""
        return asyncio.run(self._propose_all(drafts))

    async def _propose_all(self, drafts: Sequence[Draft]) -> list[Question | str]:
        async with open_chat(self._config) as chat:
            return await asyncio.gather(*(self._propose(chat, draft) for draft in drafts))

    async def _propose(self, chat: Chat, draft: Draft) -> Question | str:
        shown = f"{draft.title}\n\n{draft.text[:SHOWN_CHARACTERS]}"
        found = await chat.complete(
            [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": shown}], _Proposal
        )
        if isinstance(found, Failure):
            return found.reason
        proposal = found.value
        quote = words(proposal.quote)
        held = covered(quote, runs(words(draft.text)))
        if len(quote) < RUN or len(held) < PASSAGE_COVERAGE * len(quote):
            return "the model's quote does not stand in the document"
        if not proposal.question.strip() or not proposal.answer.strip():
            return "the model gave no question or no answer"
        return question_of(draft, proposal.question.strip(), proposal.answer.strip(), proposal.quote.strip())
