"""Connections of the receiver: bounded in number, in time, and in bytes before a request is understood.

uvicorn's protocol for h11, with limits. h11 refuses an endless header, chunk header or trailer by itself; httptools,
which uvicorn would take where it is installed, keeps it in memory. The seam to uvicorn's protocol.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from rag_assets.escapes import logger
from rag_assets.events.webhooks.rates import network
from rag_assets.events.webhooks.refusal import Refusal
from rag_assets.events.webhooks.unread import LINGER_SECONDS

CONNECTIONS = 500
"""At once. One more takes the place of one that keeps us waiting."""
HEAD_BYTES = 16_384
"""Of request line and headers; also of a chunk's header and of trailers."""
HEAD_SECONDS = 10
"""That a connection may take to send a request line and headers, from its beginning or from the last answer on."""
REQUEST_SECONDS = 120
"""From the headers to the end of the answer: body and inbox have limits of their own, reading the answer has none."""
READ_BYTES = 16_384
"""Of one connection, before all others have their turn."""
FRAMING_BYTES = 16_384
"""That the headers of chunks may have in a body beyond its own size: chunks of one byte cost more than they bring."""
_log = logger(__name__)


class BoundedProtocol(H11Protocol, asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._buffer = bytearray(READ_BYTES)
        self._since = self.loop.time()
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False
        self._framing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for a request; where there are too many connections, end one that keeps us waiting."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._expect_within(HEAD_SECONDS)
        if len(self._others()) >= CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go; its length is what limits them."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that came; discard them after a refusal, or closing would reset the connection unread."""
        if self._refused:
            return
        request = self.cycle
        before = len(request.body) if request else 0
        self.data_received(bytes(self._buffer[:nbytes]))
        if self.cycle is request and not self._waits_for_head:
            body = len(request.body) - before
            self._framing += nbytes - 2 * body
            if self._framing > FRAMING_BYTES and not self._refused:
                self._refuse(Refusal(400, "invalid", "the body's chunks have longer headers than contents"))

    def handle_events(self) -> None:
        """Take what is complete; a new request has its own time."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._framing = 0
            self._expect_within(REQUEST_SECONDS)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._expect_within(HEAD_SECONDS)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too long before it is complete."""
        if len(self.conn.trailing_data[0]) <= HEAD_BYTES:
            self._refuse(Refusal(400, "invalid", "the request is not valid HTTP"))
        elif self._waits_for_head:
            detail = f"request line and headers have more than {HEAD_BYTES:,} bytes"
            self._refuse(Refusal(431, "headers-too-large", detail))
        else:
            detail = f"the header of a chunk, or trailers, have more than {HEAD_BYTES:,} bytes"
            self._refuse(Refusal(400, "invalid", detail))

    @property
    def _waits_for_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _waits(self) -> bool:
        """Whether the other side is to send something."""
        return self._refused or self._waits_for_head or self.cycle.more_body

    @property
    def _network(self) -> str:
        return network(self.client[0] if self.client else "")

    def _others(self) -> list[BoundedProtocol]:
        open_ = (cast(BoundedProtocol, other) for other in self.connections if other is not self)
        return [other for other in open_ if not other.transport.is_closing()]

    def _make_room(self) -> None:
        """End the connection that has waited longest, among those of the network that has most of them waiting."""
        waiting = [other for other in self._others() if other._waits]
        if not waiting:
            self._refuse(Refusal(503, "busy", f"{CONNECTIONS} requests are being answered", retry_after=1))
            return
        crowds = Counter(other._network for other in waiting)
        victim = max(waiting, key=lambda other: (crowds[other._network], -other._since))
        victim._drop(f"{CONNECTIONS} connections are open, and this one waits longest")

    def _expect_within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._since = self.loop.time()
        self._deadline = self.loop.call_later(seconds, self._expire, seconds)

    def _expire(self, seconds: float) -> None:
        if self._waits_for_head and self.conn.trailing_data[0] and not self._refused:
            detail = f"request line and headers did not come within {seconds:g} s"
            self._refuse(Refusal(408, "too-slow", detail))
        else:
            self._drop(f"nothing was completed within {seconds:g} s")

    def _drop(self, why: str) -> None:
        _log.info("dropped the connection of %s: %s", self._address, why)
        self.transport.abort()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer without the application, which knows nothing of the request, or waits for its body."""
        _log.warning("refused %s: %s %s: %s", self._address, refusal.status, refusal.reason, refusal.detail)
        self._refused = True
        if not self._waits_for_head:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        response = refusal.response()
        lines = [f"HTTP/1.1 {refusal.status} {refusal.title}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.transport.write_eof()
        self._expect_within(LINGER_SECONDS)

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else "-"
