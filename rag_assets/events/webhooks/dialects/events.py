"""Our own events: what happened to one document or to several, with or without their content."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from rag_assets.events.inbox import Change, Kind
from rag_assets.events.webhooks.dialects.reading import Invalid, Moment, Reading, parse
from rag_assets.events.webhooks.places import LONGEST_ID, Places

MOST_DOCUMENTS = 1000
"""Of one event: more go into several."""

_ONE, _SEVERAL = "one", "several"
_KINDS: dict[str, Kind] = {
    "document.created": "created",
    "document.updated": "updated",
    "document.deleted": "deleted",
    "document.erase": "erase",
}


class Document(BaseModel):
    """One document of an event."""

    model_config = ConfigDict(extra="forbid", strict=True)

    document: str = Field(
        min_length=1,
        max_length=LONGEST_ID,
        description="Document id: a path relative to the corpus, starting with the prefix of one of its sources.",
        examples=["cms/imprint"],
    )
    content: str | None = Field(
        default=None,
        description="The document itself; for sources of type push, and only for them.",
    )
    encoding: Literal["utf-8", "base64"] = Field(
        default="utf-8", description="base64: content holds bytes, such as those of a PDF file."
    )
    content_type: str | None = Field(
        default=None,
        max_length=200,
        description="Media type of content. Unset: the ending of the document id decides.",
        examples=["text/markdown"],
    )


class Event(BaseModel):
    """An event as Standard Webhooks lays it out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["document.created", "document.updated", "document.deleted", "document.erase"] = Field(
        description="erase: delete, and never read it again whatever its source holds."
    )
    timestamp: Moment = Field(
        description="When it happened: of two events of a document the later one counts."
    )
    data: Annotated[
        Annotated[Document, Tag(_ONE)]
        | Annotated[
            list[Document], Tag(_SEVERAL), Field(min_length=1, max_length=MOST_DOCUMENTS, fail_fast=True)
        ],
        Discriminator(lambda data: _SEVERAL if isinstance(data, list) else _ONE),
    ] = Field(description="What it happened to.")


def read_event(payload: Any, event: str, sender: str, places: Places) -> Reading:
    """Changes of an event. Raises Invalid."""
    parsed = parse(Event, payload, (_ONE, _SEVERAL))
    kind = _KINDS[parsed.type]
    several = isinstance(parsed.data, list)
    changes, mistakes = [], []
    for number, document in enumerate(_listed(parsed.data)):
        where = f"data.{number}" if several else "data"
        mistake = places.mistake(
            document.document,
            kind,
            content=document.content is not None,
            content_type=document.content_type,
        )
        if mistake is None:
            try:
                content = _content(document)
            except ValueError as error:
                mistake = str(error)
        if mistake is not None:
            mistakes.append(f"{where}: {mistake}")
            continue
        changes.append(
            Change(event, document.document, kind, parsed.timestamp, sender, content, _media_type(document))
        )
    if mistakes:
        raise Invalid(mistakes)
    return Reading(changes)


def _listed(data: Document | list[Document]) -> Iterator[Document]:
    yield from data if isinstance(data, list) else [data]


def _media_type(document: Document) -> str | None:
    """Without parameters: parsers find out the character set themselves."""
    return document.content_type and document.content_type.partition(";")[0].strip().lower()


def _content(document: Document) -> bytes | None:
    if document.content is None:
        return None
    if document.encoding == "utf-8":
        return document.content.encode()
    try:
        return base64.b64decode(document.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("content is not base64") from error
