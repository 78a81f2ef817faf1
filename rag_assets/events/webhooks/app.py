"""The HTTP side: who may ask what in which order, and every answer in one shape.

corpus → address rate → media type → size → (in a thread) signature → sender rate → body → inbox.
The cheap questions come first: what anybody can send costs little until its signature is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from rag_assets.corpus import Corpus
from rag_assets.errors import ConfigurationError, InboxUnavailable, printable
from rag_assets.escapes import logger
from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks.body import Bodies
from rag_assets.events.webhooks.hook import Hook, Receipt
from rag_assets.events.webhooks.metrics import UNKNOWN, Metrics
from rag_assets.events.webhooks.openapi import HOOK_RESPONSES, READY_RESPONSES, complete
from rag_assets.events.webhooks.places import Places
from rag_assets.events.webhooks.rates import Rates
from rag_assets.events.webhooks.refusal import Reason, Refusal
from rag_assets.events.webhooks.secrets import read_secrets
from rag_assets.events.webhooks.unread import ClosesUnread

INBOX_SECONDS = 30
"""That writing an event may take; then the sender is asked to send again."""
RETRY_SECONDS = 10
_NOT_KEPT = "the event could not be kept; send it again: should it be there after all, it counts once"
_REASONS: dict[int, Reason] = {404: "not-found", 405: "method-not-allowed"}
_log = logger(__name__)


class Receiver(FastAPI):
    """FastAPI, with a description that knows of bodies which are read raw for their signature."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema

    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's layers, within one that ends what is answered unread, errors included."""
        return ClosesUnread(super().build_middleware_stack())


def create_app(corpora: Mapping[str, Corpus], inbox: Inbox, environ: Mapping[str, str]) -> FastAPI:
    """The receiver of all corpora that take events over HTTP.

    Args:
        corpora: corpus files by name.
        inbox: where events go.
        environ: holds the secrets; read now and not again.

    Raises:
        SecretMissing: a variable that should hold a secret does not.
        ConfigurationError: no corpus takes events over HTTP.
    """
    hooks = _hooks(corpora, environ)
    metrics = Metrics([*hooks], inbox)
    # The senders of all corpora may share one address, and each has its own limit.
    rates = Rates(sum(hook.webhooks.requests_per_minute for hook in hooks.values()))
    bodies = Bodies()
    app = Receiver(
        title="rag-assets webhooks", version="1", docs_url=None, redoc_url=None, redirect_slashes=False
    )

    @app.post("/hooks/{corpus}", status_code=202, responses=HOOK_RESPONSES, response_model_exclude_none=True)
    async def receive(corpus: str, request: Request) -> Receipt:
        """Announce changes of documents. When the answer is 202 they are on disk."""
        hook = hooks.get(corpus)
        with metrics.counted(UNKNOWN if hook is None else corpus) as receipts:
            if hook is None:
                raise Refusal(404, "unknown-corpus", "no corpus of this name takes events")
            rates.check_address(request.client.host if request.client else "")
            if (
                request.headers.get("content-type", "").partition(";")[0].strip().lower()
                != "application/json"
            ):
                raise Refusal(415, "media-type", "the content type is expected to be application/json")
            async with bodies.read(request, hook.webhooks.max_body_bytes) as body:
                receipts.append(await _in_thread(hook, inbox, rates, dict(request.headers), body))
        if receipts[0].state == "ignored":
            _log.info("ignored an event of %s: %s", corpus, receipts[0].reason)
        return receipts[0]

    @app.get("/health")
    async def health() -> dict[str, str]:
        """This process lives."""
        return {"status": "alive"}

    @app.get("/ready", responses=READY_RESPONSES)
    def ready() -> dict[str, str]:
        """Events can be taken: the inbox's database answers."""
        try:
            inbox.ready()
        except InboxUnavailable as error:
            raise _unavailable(error, "the inbox's database does not answer") from error
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def read_metrics() -> Response:
        """For Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        _log.warning(
            "refused %s %s %r: %s %s: %s",
            printable(request.client.host) if request.client else "-",  # of a header, behind a proxy
            request.method,
            request.url.path[:100],
            refusal.status,
            refusal.reason,
            refusal.detail,
        )
        return refusal.response()

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        reason = _REASONS.get(error.status_code, "invalid")
        refusal = Refusal(error.status_code, reason, str(error.detail), headers=dict(error.headers or {}))
        return await refused(request, refusal)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return Refusal(500, "internal", "the receiver failed; its log says why").response()

    return app


def _hooks(corpora: Mapping[str, Corpus], environ: Mapping[str, str]) -> dict[str, Hook]:
    hooks: dict[str, Hook] = {}
    owners: dict[str, str] = {}
    for name, corpus in corpora.items():
        webhooks = corpus.events and corpus.events.webhooks
        if webhooks:
            secrets = read_secrets(name, webhooks, environ)
            for secret in secrets:
                if owners.setdefault(secret, name) != name:
                    # A signature covers the body and not the path: what was sent to one would count for the other.
                    raise ConfigurationError(
                        f"the corpora {owners[secret]} and {name} have the same secret, so that a delivery for one would "
                        "be valid for the other; give each one of its own: events.webhooks.secret_variable"
                    )
            hooks[name] = Hook(corpus, webhooks, secrets, Places(corpus, webhooks.prefix))
    if not hooks:
        raise ConfigurationError("no corpus takes events over HTTP: set events.webhooks in a corpus file")
    return hooks


async def _in_thread(
    hook: Hook, inbox: Inbox, rates: Rates, headers: Mapping[str, str], body: bytes
) -> Receipt:
    """Signatures, parsing and the database would hold up all other requests."""
    try:
        async with asyncio.timeout(INBOX_SECONDS):
            return await anyio.to_thread.run_sync(
                hook.receive, inbox, rates, headers, body, abandon_on_cancel=True
            )
    except InboxUnavailable as error:
        raise _unavailable(error, _NOT_KEPT) from error
    except TimeoutError as error:
        raise _unavailable(f"no answer of the inbox within {INBOX_SECONDS} s", _NOT_KEPT) from error


def _unavailable(cause: InboxUnavailable | str, detail: str) -> Refusal:
    _log.error("%s", cause)
    return Refusal(503, "inbox-unavailable", detail, retry_after=RETRY_SECONDS)
