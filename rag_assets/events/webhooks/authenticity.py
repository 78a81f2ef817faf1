"""Whether a request comes from someone who holds the corpus's secret: three schemes, one outcome.

headers + raw body → ``Proof`` or Refusal. Which scheme a request uses shows in its headers. Every
secret is tried every time, so that the time an answer takes does not tell which of them came close.
This file is the seam to standardwebhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from rag_assets.corpus import Scheme
from rag_assets.events.webhooks.refusal import Refusal

TOLERANCE_SECONDS = 300
"""How far the clocks of sender and receiver may be apart, and how long a delivery may be on its way."""
SIGNED_BY: dict[Scheme, str] = {
    "standard": "webhook-signature",
    "github": "x-hub-signature-256",
    "bearer": "authorization",
}
"""The header in which each scheme proves itself."""
_EVENT_ID = re.compile(r"[!-~]{1,256}")


@dataclass(frozen=True, slots=True)
class Proof:
    """A request is proven. ``event`` identifies the delivery; None where the sender gave it no id."""

    scheme: Scheme
    event: str | None


def prove(accept: Sequence[Scheme], secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> Proof:
    """Check a request.

    Args:
        accept: schemes of the corpus file; the first whose header is there is the one that counts.
        secrets: any of them will do.
        headers: by lower-case name.
        body: exactly as it came.

    Raises:
        Refusal: 401 without proof, 422 for an id that is none.
    """
    for scheme in accept:
        if SIGNED_BY[scheme] in headers:
            return _CHECKS[scheme](secrets, headers, body)
    names = ", ".join(SIGNED_BY[scheme] for scheme in accept)
    raise _unproven(f"the request has no signature; expected a header of: {names}")


def _standard(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> Proof:
    _check_clock(headers)
    matches = [_signed_with(secret, headers, body) for secret in secrets]
    if not any(matches):
        raise _unproven(
            "webhook-signature does not belong to this webhook-id, webhook-timestamp, body and secret"
        )
    return Proof("standard", _event_id(headers))


def _signed_with(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (
        WebhookVerificationError,
        ValueError,
    ):  # ValueError: headers that are no base64, a body that is no text
        return False
    return True


def _github(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> Proof:
    given = headers[SIGNED_BY["github"]].encode()
    expected = [
        f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}".encode() for secret in secrets
    ]
    matches = [hmac.compare_digest(given, one) for one in expected]
    if not any(matches):
        raise _unproven("x-hub-signature-256 does not belong to this body and secret")
    # GitHub does not sign its own id of the delivery: with another one, a recorded request could be
    # played again. The same bytes are the same event.
    return Proof("github", f"github:{hashlib.sha256(body).hexdigest()}")


def _bearer(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> Proof:
    scheme, _, token = headers[SIGNED_BY["bearer"]].partition(" ")
    given = token.strip().encode()
    matches = [hmac.compare_digest(given, secret.encode()) for secret in secrets]
    if scheme.lower() != "bearer" or not any(matches):
        raise _unproven("authorization does not hold the token")
    if "webhook-timestamp" in headers:
        _check_clock(headers)
    return Proof("bearer", _event_id(headers) if "webhook-id" in headers else None)


_CHECKS: dict[Scheme, Callable[[Sequence[str], Mapping[str, str], bytes], Proof]] = {
    "standard": _standard,
    "github": _github,
    "bearer": _bearer,
}


def _check_clock(headers: Mapping[str, str]) -> None:
    try:
        sent = float(headers.get("webhook-timestamp", ""))
    except ValueError:
        sent = float("nan")
    if not abs(sent - datetime.now(UTC).timestamp()) <= TOLERANCE_SECONDS:  # not: nothing is near nan
        raise _unproven(
            "webhook-timestamp is expected to hold the time of sending, in seconds since 1970, at most "
            f"{TOLERANCE_SECONDS} s from the receiver's clock"
        )


def _event_id(headers: Mapping[str, str]) -> str:
    event = headers.get("webhook-id", "")
    if not _EVENT_ID.fullmatch(event):
        raise Refusal(
            422, "invalid", "webhook-id is expected to hold 1 to 256 visible ASCII characters without spaces"
        )
    return event


def _unproven(detail: str) -> Refusal:
    return Refusal(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
