"""Target: a service that is told over HTTP, signed as Standard Webhooks say (standardwebhooks.com)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook as Signer

from rag_assets.corpus import invalidation as config
from rag_assets.errors import ConfigurationError
from rag_assets.invalidation.environment import Environment
from rag_assets.invalidation.http import request
from rag_assets.invalidation.notice import Notice

TYPE = "rag.invalidation"


class WebhookTarget:
    """Posts each page of a notice. Its ``webhook-id`` is the idempotency key.

    Raises:
        SecretMissing: there is no secret.
        ConfigurationError: it is no secret of Standard Webhooks.
    """

    def __init__(self, target: config.Webhook, environment: Environment) -> None:
        self._target = target
        secrets = environment.read(target.secret_variable, "the signing secret of the webhook (whsec_…)")
        self._signers = [_signer(secret, target) for secret in secrets.split()]

    def send(self, notice: Notice) -> None:
        """See ``Target``."""
        now = datetime.now(UTC)
        body = json.dumps(
            {"type": TYPE, "timestamp": notice.time, "data": notice.as_json()}, ensure_ascii=False
        )
        signatures = [signer.sign(notice.key, now, body) for signer in self._signers]
        headers = {
            "content-type": "application/json",
            "webhook-id": notice.key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        request("POST", self._target.url, headers, body.encode(), self._target.timeout_seconds)


def _signer(secret: str, target: config.Webhook) -> Signer:
    try:
        return Signer(secret)
    except Exception as error:  # the seam to standardwebhooks, whose versions raise differently
        raise ConfigurationError(
            f"target {target.name}: the environment variable {target.secret_variable} holds no signing secret; it "
            "must be whsec_ and base64, as the receiver shows it"
        ) from error
