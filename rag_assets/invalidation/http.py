"""One HTTP request to a target: done, again later, or never. The seam to httpx.

The whole exchange has one time budget, redirects are not followed, and of the reply only the
status and a few bytes are read: a server can neither hold nor fill this process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import httpx

from rag_assets.errors import TargetUnavailable
from rag_assets.invalidation.target import TargetBusy, TargetRefused

REPLY_BYTES = 1000
AGAIN = frozenset({408, 425, 429})
LONGEST_PAUSE = 86_400.0  # seconds that a server may ask for


def request(method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> None:
    """Send a request and read its outcome.

    Raises:
        TargetUnavailable: no reply in time, or one that asks to come again (408, 425, 429, 5xx).
        TargetRefused: any other status but 2xx.
    """
    try:
        status, pause, text = asyncio.run(_exchange(method, url, headers, body, timeout_seconds))
    except TimeoutError as error:
        raise TargetUnavailable(f"no reply within {timeout_seconds:g} s") from error
    except httpx.InvalidURL as error:
        raise TargetRefused("the URL is none") from error
    except (httpx.HTTPError, OSError) as error:
        raise TargetUnavailable(f"could not be reached: {str(error) or type(error).__name__}") from error
    if 200 <= status < 300:
        return
    said = f": {text}" if text else ""
    if status in AGAIN or status >= 500:
        raise TargetBusy(f"answered {status}{said}", pause)
    if 300 <= status < 400:
        raise TargetRefused(f"answered {status}: redirects are not followed; give the final URL")
    raise TargetRefused(f"answered {status}{said}")


async def _exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
) -> tuple[int, float, str]:
    async with (
        asyncio.timeout(timeout_seconds),
        httpx.AsyncClient(timeout=timeout_seconds) as client,
        client.stream(method, url, headers=headers, content=body or None) as reply,
    ):
        said = bytearray()
        if not reply.is_success:
            async for piece in reply.aiter_raw():
                said += piece[:REPLY_BYTES]
                if len(said) >= REPLY_BYTES:
                    break
        return reply.status_code, _pause(reply.headers.get("retry-after", "")), _first_line(said)


def _pause(retry_after: str) -> float:
    """Seconds that ``Retry-After`` asks for, as a number or a date; 0 when it says nothing sensible."""
    try:
        if retry_after.strip().isdecimal():
            return min(float(retry_after), LONGEST_PAUSE)
        asked = parsedate_to_datetime(retry_after).timestamp() - time.time()
        return min(max(asked, 0.0), LONGEST_PAUSE)
    except (ValueError, OverflowError):
        return 0.0


def _first_line(said: bytearray) -> str:
    text = said.decode(errors="replace").strip()
    return text.splitlines()[0] if text else ""
