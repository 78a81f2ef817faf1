"""What a corpus file says about whom to tell what changed, and how long answers may be cached."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from rag_assets.corpus.base import Group, VariableName
from rag_assets.corpus.endpoint import URL_PATTERN

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a header, or the URL of a CDN, refers to the environment."""
KEYS = "{keys}"
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET_HEADER = re.compile(r"(?i)auth|cookie|key|password|secret|token")
LONGEST_TIMEOUT = 20.0  # seconds; with a pause after it, shorter than a lease of invalidation.lease


def _is_a_target_name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 63:
        raise ValueError(
            f"{name!r} is no name of a target; allowed: up to 63 lower-case letters, digits, and single underscores "
            "or hyphens between them, a letter first"
        )
    return name


class _Target(Group):
    name: Annotated[str, AfterValidator(_is_a_target_name)] = Field(
        description="Name of the target, for its ledger and for people; unique in the corpus."
    )


class Redis(_Target):
    """Answers that services keep in Redis or Valkey with ``AnswerCache``."""

    type: Literal["redis"] = Field(
        description="A Redis or Valkey server in which services keep answers with AnswerCache."
    )
    url_variable: VariableName = Field(
        description="Environment variable that holds the URL, redis:// or rediss://, with user and password."
    )
    cluster: bool = Field(
        default=False,
        description="Whether the URL leads to a cluster. A corpus lies on one of its shards.",
    )


class Webhook(_Target):
    """A service that is told over HTTP."""

    type: Literal["webhook"] = Field(description="An HTTP endpoint that gets signed notices.")
    url: str = Field(
        pattern=URL_PATTERN,
        description="Where notices are posted to. What proves them comes from the environment, never from here.",
        examples=["https://assistant.example.org/rag/invalidation"],
    )
    secret_variable: VariableName = Field(
        description="Environment variable that holds the signing secret (whsec_…, Standard Webhooks), or two of them "
        "with a space between while one replaces the other."
    )
    timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        le=LONGEST_TIMEOUT,
        description="Seconds that one request may take, reply included.",
    )


class Cdn(_Target):
    """A CDN or reverse proxy that purges by surrogate key (cache tag)."""

    type: Literal["cdn"] = Field(description="A CDN or proxy that purges by surrogate key over HTTP.")
    method: Literal["POST", "PUT", "PATCH", "DELETE", "PURGE", "BAN"] = Field(
        default="POST", description="HTTP method of a purge."
    )
    url: str = Field(
        pattern=URL_PATTERN,
        description="Where purges are sent to; may hold ${VARIABLE} of the environment.",
        examples=["https://api.cloudflare.com/client/v4/zones/${CLOUDFLARE_ZONE}/purge_cache"],
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers by name. Values may hold ${VARIABLE} of the environment, and {keys}: the surrogate keys "
        "joined by separator, or by spaces where it is unset.",
        examples=[{"Authorization": "Bearer ${CLOUDFLARE_TOKEN}"}],
    )
    body: str = Field(
        default="",
        description="Body of a purge. {keys} becomes a JSON list of surrogate keys, or with a separator one text of "
        "them. Empty: no body.",
        examples=['{"tags": {keys}}'],
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="Text between keys. Unset: a JSON list in the body.",
    )
    key: str = Field(
        default="doc-{document}",
        max_length=200,
        description="Surrogate key of a document, as the service tags its replies: {document} is the percent-encoded "
        "id, {corpus} the name of the corpus.",
    )
    everything_key: str = Field(
        default="corpus-{corpus}",
        min_length=1,
        max_length=200,
        description="Surrogate key that the service puts on every reply, for when everything must be forgotten.",
    )
    batch: int = Field(
        default=30, ge=1, le=1000, description="Surrogate keys in one request, at most: the CDN's limit."
    )
    timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        le=LONGEST_TIMEOUT,
        description="Seconds that one request may take, reply included.",
    )

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if not value.isprintable() or not value.isascii():
                raise ValueError(f"the value of {name} holds a character that no header can carry")
            if _SECRET_HEADER.search(name) and not VARIABLE.search(value) and KEYS not in value:
                # Not shown: it may be the secret itself.
                raise ValueError(
                    f"{name} looks like a secret; allowed: ${{VARIABLE}}, which is filled from the environment. Never "
                    "write a secret into a file"
                )
        return headers

    @field_validator("key")
    @classmethod
    def _key_names_the_document(cls, key: str) -> str:
        if "{document}" not in key:
            raise ValueError("needs {document}: without it all documents would have the same key")
        return key

    @field_validator("key", "everything_key")
    @classmethod
    def _key_can_be_sent(cls, key: str) -> str:
        if not key.isascii() or not key.isprintable() or " " in key or "," in key:
            raise ValueError(f"{key!r} holds white space, a comma or a character that no header can carry")
        return key

    @model_validator(mode="after")
    def _keys_are_sent(self) -> Cdn:
        if KEYS not in self.body and not any(KEYS in value for value in self.headers.values()):
            raise ValueError("the body or a header must hold {keys}: without them nothing would be purged")
        return self


class Plugin(_Target):
    """A target of one's own, installed as a Python package."""

    type: Literal["python"] = Field(
        description="A class of your own, found by its entry point in the group rag_assets.invalidation_targets."
    )
    entry_point: str = Field(min_length=1, description="Name of the entry point.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Handed to the entry point. Secrets belong into the environment."
    )


Target = Annotated[Redis | Webhook | Cdn | Plugin, Field(discriminator="type")]


class Ttl(Group):
    """How long an answer may be cached: shorter where its documents change often."""

    min_seconds: int = Field(
        default=60, ge=1, le=31_536_000, description="Seconds that every answer may live."
    )
    max_seconds: int = Field(
        default=86_400, ge=1, le=31_536_000, description="Seconds that no answer lives beyond."
    )
    share: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Chance that a document changes while an answer made from it lives. It sets the time between the "
        "two bounds.",
    )

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Ttl:
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds must not be above max_seconds")
        return self


class Invalidation(Group):
    """What is forgotten where after a publication."""

    targets: tuple[Target, ...] = Field(min_length=1, description="Who is told.")
    ttl: Ttl = Field(default=Ttl(), description="How long an answer may be cached.")
    max_attempts: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Deliveries in a row that may fail, with growing pauses; then what is due becomes a dead letter.",
    )

    @field_validator("targets")
    @classmethod
    def _names_are_unique(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        if len({target.name for target in targets}) < len(targets):
            raise ValueError("targets must have different names: each has a ledger of its own")
        return targets
