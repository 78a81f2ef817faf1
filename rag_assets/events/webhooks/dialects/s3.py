"""Event records of S3, as AWS, MinIO and others send them: objects that were created and removed."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote_plus

from pydantic import Field

from rag_assets.events.inbox import Change, Kind
from rag_assets.events.webhooks.dialects.reading import Foreign, Moment, Reading, in_words, parse
from rag_assets.events.webhooks.places import Places

_KINDS: dict[str, Kind] = {
    "ObjectCreated": "updated",  # overwritten as well; never "created", which lifts an erasure
    "ObjectRemoved": "deleted",
    "LifecycleExpiration": "deleted",
}


class Bucket(Foreign):
    """Where the object lies."""

    name: str


class Object(Foreign):
    """The object, its key percent-encoded as in a form."""

    key: str


class Place(Foreign):
    """Bucket and object."""

    bucket: Bucket
    object: Object


class Record(Foreign):
    """What happened to one object."""

    event_name: Annotated[str, Field(alias="eventName", examples=["ObjectCreated:Put"])]
    event_time: Annotated[Moment, Field(alias="eventTime")]
    s3: Place


class Records(Foreign):
    """A notification."""

    records: Annotated[list[Record], Field(alias="Records", fail_fast=True)]


def is_notification(payload: Any) -> bool:
    """Whether a payload is of this dialect."""
    return isinstance(payload, dict) and "Records" in payload


def read_records(payload: Any, event: str, places: Places) -> Reading:
    """Changes of a notification; records of other buckets change nothing. Raises Invalid and UnknownOrigin."""
    records = parse(Records, payload).records
    foreign = [places.origins.elsewhere_of_record(record.s3.bucket.name) for record in records]
    if foreign and all(foreign):
        return Reading([], len(records), foreign[0])
    changes: list[Change] = []
    left_out = 0
    for record, elsewhere in zip(records, foreign, strict=True):
        # MinIO writes s3:ObjectCreated:Put where AWS writes ObjectCreated:Put.
        kind = _KINDS.get(record.event_name.removeprefix("s3:").partition(":")[0])
        bucket = record.s3.bucket.name
        documents = (
            []
            if kind is None or elsewhere
            else [*places.of_object(bucket, unquote_plus(record.s3.object.key), kind)]
        )
        left_out += not documents
        sender = in_words(f"S3 bucket {bucket}")
        changes += [
            Change(event, document, kind, record.event_time, sender)
            for document in documents
            if kind is not None
        ]
    return Reading(changes, left_out)
