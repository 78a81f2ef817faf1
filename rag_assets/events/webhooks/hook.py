"""One corpus that takes events: from a request that is bounded to changes in the inbox."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import from_json

from rag_assets.corpus import Corpus, Webhooks
from rag_assets.events.inbox import REMEMBERED, Inbox
from rag_assets.events.webhooks.authenticity import TOLERANCE_SECONDS, Proof, prove
from rag_assets.events.webhooks.dialects.events import read_event
from rag_assets.events.webhooks.dialects.github import read_push
from rag_assets.events.webhooks.dialects.reading import Invalid, Reading
from rag_assets.events.webhooks.dialects.s3 import is_notification, read_records
from rag_assets.events.webhooks.origins import Elsewhere, UnknownOrigin
from rag_assets.events.webhooks.places import Places
from rag_assets.events.webhooks.rates import Rates
from rag_assets.events.webhooks.refusal import Refusal


class Receipt(BaseModel):
    """What a sender is told when its event is in the inbox."""

    event: str = Field(description="Id of the event, as the inbox lists it.")
    changes: int = Field(ge=0, description="Documents that it announces.")
    left_out: int = Field(
        ge=0,
        description="What it names besides and the corpus has no place for; GitHub and S3 name everything.",
    )
    state: Literal["accepted", "duplicate", "ignored"] = Field(
        description="duplicate: the inbox knew the event. ignored: it is about another repository, branch or bucket. Of "
        "both nothing was written."
    )
    reason: Elsewhere | None = Field(default=None, description="Why it was ignored.")


@dataclass(frozen=True, slots=True)
class Hook:
    """Takes the events of one corpus. May be used by many threads at once."""

    corpus: Corpus
    webhooks: Webhooks
    secrets: tuple[str, ...] = field(repr=False)
    places: Places

    def receive(self, inbox: Inbox, rates: Rates, headers: Mapping[str, str], body: bytes) -> Receipt:
        """Take a request: it is in the inbox when this returns.

        Args:
            inbox: where it goes.
            rates: counts the sender's requests.
            headers: by lower-case name.
            body: exactly as it came.

        Raises:
            Refusal: it is not proven, not understood, or one too many.
            InboxUnavailable: it is not known whether it was written; to send it again is safe.
        """
        proof = prove(self.webhooks.accept, self.secrets, headers, body)
        rates.check_sender(self.corpus.name, proof.scheme, self.webhooks.requests_per_minute)
        event, reading = self._read(proof, headers, body)
        _check_times(proof, reading)
        # What names no document has nothing to be remembered by.
        fresh = not reading.changes or inbox.accept(self.corpus.name, reading.changes)
        state: Literal["accepted", "duplicate"] = "accepted" if fresh else "duplicate"
        return Receipt(
            event=event,
            changes=len(reading.changes),
            left_out=reading.left_out,
            state="ignored" if reading.elsewhere else state,
            reason=reading.elsewhere,
        )

    def _read(self, proof: Proof, headers: Mapping[str, str], body: bytes) -> tuple[str, Reading]:
        payload = _parsed(body)
        try:
            if proof.scheme == "github" and proof.event is not None:
                # Other events, such as the ping after a webhook was made, say nothing about documents.
                push = headers.get("x-github-event") == "push"
                return proof.event, read_push(payload, proof.event, self.places) if push else Reading(())
            if is_notification(payload):
                # Storage servers send no id of their own. The same bytes are the same event.
                event = proof.event or f"s3:{hashlib.sha256(body).hexdigest()}"
                return event, read_records(payload, event, self.places)
            if proof.event is None:
                raise Refusal(
                    422,
                    "invalid",
                    "webhook-id is missing: without it a repetition would be taken for a new event",
                )
            sender = f"{proof.scheme} webhook"
            return proof.event, read_event(payload, proof.event, sender, self.places)
        except UnknownOrigin as error:
            raise Refusal(422, "unknown-origin", str(error)) from error
        except Invalid as error:
            raise Refusal(
                422, "invalid", "the body announces nothing that can be taken", errors=error.mistakes
            ) from error


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(422, "invalid", "the body is not JSON in UTF-8, or nested too deeply") from error


def _check_times(proof: Proof, reading: Reading) -> None:
    now = datetime.now(UTC)
    times = [change.occurred for change in reading.changes]
    if any(time > now + timedelta(seconds=TOLERANCE_SECONDS) for time in times):
        # It would overrule everything that happens until then.
        raise Refusal(422, "invalid", "the event says that it happens later than now")
    if proof.scheme == "github" and any(time < now - REMEMBERED for time in times):
        # Its signature never expires, and the inbox has forgotten events of that age.
        raise Refusal(
            422, "invalid", f"the push is older than {REMEMBERED.days} days: it may be one that was recorded"
        )
