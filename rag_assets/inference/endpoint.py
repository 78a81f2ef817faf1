"""OpenAI-compatible endpoints: their client, their keys, and their words without keys. The seam to the openai client."""

from __future__ import annotations

import asyncio
import atexit
import html
import json
import os
import re
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from rag_assets import corpus
from rag_assets.errors import ConfigurationError, redacted

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
_STARTING = threading.Lock()
_LOOPS: list[asyncio.AbstractEventLoop] = []
NO_KEY = "none"  # what a server without keys is sent: the client insists on one


def open_client(config: corpus.Endpoint) -> tuple[AsyncOpenAI, str]:
    """A client for one event loop, and the key that must not be shown.

    Raises:
        ConfigurationError: the key cannot be one.
    """
    key = _read_key(config.key_variable)
    from openai import AsyncOpenAI  # takes half a second

    client = AsyncOpenAI(
        base_url=config.url,
        api_key=key,
        max_retries=config.retries,
        timeout=config.timeout_seconds,
    )
    return client, key


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work, also where a loop is running already, as in a service or a notebook.

    All of it runs in one loop of this process, whoever waits: so semaphores hold across threads. Who stops
    waiting ends the work.
    """
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    finally:
        future.cancel()


def shown(text: str, key: str) -> str:
    """The first line of what a server wrote, without the key: servers repeat what they refuse."""
    if key != NO_KEY:
        encoded = json.dumps(key)[1:-1]
        written = {
            key,
            repr(key)[1:-1],
            encoded,
            encoded.replace("/", r"\/"),
            quote(key, safe=""),
            html.escape(key),
        }
        for one in written:
            text = re.sub(re.escape(one), "…", text, flags=re.IGNORECASE)  # %2f as well as %2F
    line = next((line for line in redacted(text).splitlines() if line.strip()), "nothing")
    return line.strip()[:200]


def _loop() -> asyncio.AbstractEventLoop:
    with _STARTING:
        if not _LOOPS:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="endpoints", daemon=True)
            thread.start()
            atexit.register(_close, loop, thread)
            _LOOPS.append(loop)
        return _LOOPS[0]


def _forget() -> None:
    """Of a forked child: it has no thread that would run the loop."""
    _LOOPS.clear()
    atexit.unregister(_close)


os.register_at_fork(after_in_child=_forget)


def _close(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _read_key(variable: str) -> str:
    """The key, without the line break that a mounted secret ends with.

    Raises:
        ConfigurationError: it cannot be sent in a header.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        return NO_KEY
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the environment variable {variable} holds no key: there is white space or a character in it that no "
            "header can carry"
        )
    return key
