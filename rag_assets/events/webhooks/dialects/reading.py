"""What every dialect gives, and what they share."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from rag_assets.errors import printable
from rag_assets.events.inbox import Change
from rag_assets.events.webhooks.origins import Elsewhere

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})")
LONGEST_SENDER = 200
LONGEST_NAME = 100
"""Characters of a field's name in a mistake: the field may be the sender's invention."""
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a payload announces.

    Args:
        left_out: counts what it names and the corpus has no place for.
        elsewhere: why it changes nothing; None where it is about the corpus's repository or bucket.
    """

    changes: Sequence[Change]
    left_out: int = 0
    elsewhere: Elsewhere | None = None


class Invalid(Exception):
    """A payload that cannot be understood. ``mistakes`` says where and why; nothing of it but names of fields."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(f"{len(mistakes)} mistakes")
        self.mistakes = mistakes


class Foreign(BaseModel):
    """A payload whose makers add fields as they like."""

    model_config = ConfigDict(extra="ignore", strict=True)


def moment(value: object) -> datetime:
    """A time of ISO 8601 with its zone, in UTC. Raises ValueError."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("expected a time with its zone, such as 2026-05-04T12:00:00Z")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a time of this age") from error


Moment = Annotated[
    datetime,
    BeforeValidator(moment),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{_MOMENT.pattern}$"}),
]


def parse(model: type[M], payload: Any, tags: Collection[str] = ()) -> M:
    """The payload as a model. Raises Invalid.

    Args:
        model: what it should be.
        payload: JSON.
        tags: names of alternatives in the model; the sender does not know them.
    """
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        raise Invalid(
            [
                f"{'.'.join(str(part)[:LONGEST_NAME] for part in mistake['loc'] if part not in tags) or 'body'}: "
                f"{mistake['msg'].removeprefix('Value error, ')}"
                for mistake in error.errors(include_url=False, include_input=False, include_context=False)
            ]
        ) from error


def in_words(text: str) -> str:
    """What a sender calls itself, fit to be kept and shown."""
    return printable(text).encode("utf-8", "replace").decode()[:LONGEST_SENDER]
