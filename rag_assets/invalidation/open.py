"""From a target of the corpus file to one that can be told, with its secrets; nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rag_assets.corpus import invalidation as config
from rag_assets.invalidation.cdn import CdnTarget
from rag_assets.invalidation.environment import Environment
from rag_assets.invalidation.plugin import PluginTarget
from rag_assets.invalidation.redis_target import RedisTarget
from rag_assets.invalidation.target import Target
from rag_assets.invalidation.ttl import Ttls
from rag_assets.invalidation.webhook import WebhookTarget
from rag_assets.store.digest import fingerprint

_TUNING = {"name", "timeout_seconds", "batch"}
"""Fields that do not say who is told."""


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A target that can be told.

    Attributes:
        name: its name in the corpus file.
        identity: who stands behind the name; when it changes, nobody knows what that one holds.
        environment: hides the secrets that the target was given.
    """

    name: str
    identity: str
    target: Target
    environment: Environment


def open_target(
    target: config.Target, corpus: str, environ: Mapping[str, str], ttls: Callable[[], Ttls]
) -> OpenTarget:
    """Open a target.

    Args:
        target: as the corpus file describes it.
        corpus: name of the corpus.
        environ: where secrets are.
        ttls: how long answers may live.

    Raises:
        SecretMissing: naming the variable.
        ConfigurationError: a secret is none, or an entry point is not installed.
    """
    environment = Environment(environ, target.name)
    opened: Target
    match target:
        case config.Redis():
            opened = RedisTarget(target, corpus, environment, ttls)
        case config.Webhook():
            opened = WebhookTarget(target, environment)
        case config.Cdn():
            opened = CdnTarget(target, environment)
        case config.Plugin():
            opened = PluginTarget(target)
    return OpenTarget(target.name, identity_of(target), opened, environment)


def identity_of(target: config.Target) -> str:
    """Key of who stands behind a target's name. Holds no secret: of those only the variables' names."""
    return fingerprint(target.model_dump(mode="json", exclude=_TUNING))
