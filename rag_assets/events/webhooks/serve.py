"""Runs the receiver until it is told to stop; then answers what is under way first. The seam to uvicorn."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from rag_assets.errors import ConfigurationError
from rag_assets.events.webhooks.connections import HEAD_BYTES, BoundedProtocol

SECONDS_TO_STOP = 30


def server(app: FastAPI) -> uvicorn.Server:
    """The server of the receiver, with all limits that uvicorn knows."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        h11_max_incomplete_event_size=HEAD_BYTES,
        loop="asyncio",  # uvloop would read more at once than the protocol asks for
        ws="none",  # a connection that became a WebSocket would have no limits
        log_config=None,  # one format for all
        access_log=False,  # what is refused is logged with its reason
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_STOP,
    )
    return uvicorn.Server(config)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Listen on ``host`` and ``port``. Returns when the process is told to end and all requests are answered.

    Raises:
        ConfigurationError: the address is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Not left to uvicorn, which would end the process with an exit code that means something else here.
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"could not listen on {host} port {port}: {error.strerror}; choose others with --host and --port"
        ) from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with listener, suppress(KeyboardInterrupt):
        server(app).run(sockets=[listener])
