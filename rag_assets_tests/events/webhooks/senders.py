"""Requests as senders make them. Signatures are computed here anew, from the words of the specifications."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
NARROW_SECRET = f"whsec_{base64.b64encode(bytes(32 * [7])).decode()}"
OLD_SECRET = f"whsec_{base64.b64encode(KEY[::-1]).decode()}"
_ids = count(1)


def now() -> str:
    """This moment, as events say it."""
    return datetime.now(UTC).isoformat()


def event(type: str = "document.updated", data: Any = None, timestamp: str | None = None) -> bytes:
    """The body of one of our events; about a document of a folder, where nothing else is said."""
    body = {"type": type, "timestamp": timestamp or now(), "data": data or {"document": "guide.md"}}
    return json.dumps(body).encode()


def standard(
    body: bytes, *, id: str | None = None, secret: str = SECRET, at: float | None = None
) -> dict[str, str]:
    """Headers of Standard Webhooks."""
    id, timestamp = id or f"msg_{next(_ids)}", str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def github(body: bytes, *, secret: str = SECRET, name: str = "push") -> dict[str, str]:
    """Headers of GitHub."""
    return {
        "content-type": "application/json",
        "x-github-event": name,
        "x-github-delivery": f"unsigned-{next(_ids)}",
        "x-hub-signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
    }


def bearer(*, id: str | None = None, secret: str = SECRET) -> dict[str, str]:
    """Headers of a sender that only holds a token."""
    return {
        "content-type": "application/json",
        "authorization": f"Bearer {secret}",
        "webhook-id": id or f"msg_{next(_ids)}",
    }


def push(
    *commits: Mapping[str, list[str]], ref: str = "refs/heads/main", pushed_at: Any = "now", **repository: Any
) -> bytes:
    """The body of a push to GitHub, with some of what is not read."""
    stamp = int(time.time()) if pushed_at == "now" else pushed_at
    return json.dumps(
        {
            "ref": ref,
            "before": "0" * 40,
            "repository": {
                "id": 1,
                "full_name": "acme/docs",
                "default_branch": "main",
                "pushed_at": stamp,
                **repository,
            },
            "commits": [{"id": "1" * 40, "message": "m", **commit} for commit in commits],
            "head_commit": {"id": "1" * 40, "timestamp": "2026-05-04T14:00:00+02:00"},
        }
    ).encode()


def records(*objects: tuple[str, str], bucket: str = "docs", at: str | None = None) -> bytes:
    """The body of an S3 notification: (name of the event, key as it is encoded there)."""
    return json.dumps(
        {
            "EventName": "s3:ObjectCreated:Put",
            "Records": [
                {
                    "eventVersion": "2.0",
                    "eventName": name,
                    "eventTime": at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                    "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "eTag": "x"}},
                }
                for name, key in objects
            ],
        }
    ).encode()
