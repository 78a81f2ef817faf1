"""Reading a request's body: bounded while it comes, for one request and for all together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from rag_assets.events.webhooks.refusal import Refusal

_SIZE = re.compile(r"[0-9]{1,20}")  # more digits than any size has; thousands are too many for int()
SECONDS = 60
"""That a body may take to come."""
MOST_BYTES_AT_ONCE = 256_000_000
"""Of all bodies in memory. Bytes that came are counted, so that slow senders cannot keep others out."""


class Bodies:
    """The bodies that are in memory. For one event loop."""

    def __init__(self) -> None:
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """A request's body, counted until the block ends.

        Raises:
            Refusal: 413 too large, 408 too slow, 400 cut off or of a size that is none, 503 when too much is in memory.
        """
        size = request.headers.get("content-length", "0")
        if not _SIZE.fullmatch(size):
            raise Refusal(400, "invalid", "content-length is expected to be a number of up to 20 digits")
        if int(size) > limit:
            raise _too_large(limit)
        chunks: list[bytes] = []
        try:
            await self._collect(request, limit, chunks)
            yield b"".join(chunks)
        finally:
            self._held -= sum(map(len, chunks))

    async def _collect(self, request: Request, limit: int, chunks: list[bytes]) -> None:
        size = 0
        try:
            async with asyncio.timeout(SECONDS):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        raise _too_large(limit)
                    if self._held + len(chunk) > MOST_BYTES_AT_ONCE:
                        raise Refusal(503, "busy", "too much is being received at once", retry_after=1)
                    self._held += len(chunk)
                    chunks.append(chunk)
        except TimeoutError as error:
            raise Refusal(408, "too-slow", f"the body did not come within {SECONDS} s") from error
        except ClientDisconnect as error:
            raise Refusal(400, "incomplete", "the connection was closed before the body's end") from error


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413, "too-large", f"the body is larger than {limit:,} bytes (events.webhooks.max_body_bytes)"
    )
