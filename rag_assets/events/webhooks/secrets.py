"""The secrets of a corpus's senders: one, or two while one replaces the other. Read once, at the start."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from rag_assets.corpus import Webhooks
from rag_assets.errors import SecretMissing

SHORTEST = 16
"""Bytes: fewer can be guessed."""
STANDARD_PREFIX = "whsec_"


def read_secrets(corpus: str, webhooks: Webhooks, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets that a corpus file names.

    Raises:
        SecretMissing: there is none, there are more than two, or one is no secret. Says which variable
            and what to do; never what it holds.
    """
    variable = webhooks.secret_variable
    secrets = tuple(environ.get(variable, "").split())
    if len(secrets) not in (1, 2):
        raise _missing(
            corpus,
            variable,
            f"it holds {len(secrets)} secrets, allowed are two with a space between"
            if secrets
            else "it is not set",
        )
    for secret in secrets:
        if len(secret) < SHORTEST or not secret.isascii():
            raise _missing(
                corpus, variable, f"a secret has at least {SHORTEST} characters, all of them ASCII"
            )
        if "standard" in webhooks.accept and _key_length(secret) < SHORTEST:
            raise _missing(
                corpus,
                variable,
                f"for the scheme standard it holds {STANDARD_PREFIX} and at least {SHORTEST} bytes in base64",
            )
    return secrets


def _key_length(secret: str) -> int:
    """Bytes of a Standard Webhooks secret; 0 for any other."""
    encoded = secret.removeprefix(STANDARD_PREFIX)
    if encoded == secret:
        return 0
    try:
        return len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except binascii.Error:
        return 0


def _missing(corpus: str, variable: str, found: str) -> SecretMissing:
    return SecretMissing(
        f"{corpus}: events.webhooks.secret_variable names the environment variable {variable}: {found}. Make a "
        f'secret with: export {variable}="{STANDARD_PREFIX}$(openssl rand -base64 32)"'
    )
