"""Close the connection of a request that was answered before its body was read.

Without this a refused sender could go on sending for ever: no limit of bodies counts what nobody reads.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_SECONDS = 2
"""That a body is discarded after its answer. A connection closed with unread bytes is reset, and the sender, still
sending, may lose the answer."""
_CLOSE = (b"connection", b"close")


class ClosesUnread:
    """An application whose answers end the connection where the request's body has not come to its end.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and _has_body(scope):
            exchange = _Exchange(receive, send)
            await self._app(scope, exchange.receive, exchange.send)
        else:
            await self._app(scope, receive, send)


class _Exchange:
    """A request with a body, and its answer."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_read = False
        self._closes = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._is_read:
            self._closes = True
            message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        if self._closes and message["type"] == "http.response.body" and not message.get("more_body", False):
            # The answer is complete for its reader; its end, at which the server closes, comes after the body's.
            await self._send({**message, "more_body": True})
            with suppress(TimeoutError):
                await self._discard()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _discard(self) -> None:
        async with asyncio.timeout(LINGER_SECONDS):
            while not self._is_read:
                await self.receive()


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
