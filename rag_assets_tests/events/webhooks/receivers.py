"""A receiver behind a real port, in a thread of the tests or in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI

from rag_assets.events.webhooks.serve import server
from rag_assets_tests.servers import free_ports

START_SECONDS = 60.0


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """The app on a free port of 127.0.0.1, and a client of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = server(app)
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            wait(client, thread.is_alive)
            yield client
    finally:
        running.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def receiver(
    corpora: Path, inbox: str, environ: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """``rag-assets webhooks`` as a process, and a client of it."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-c", "from rag_assets.cli import main; main()", "webhooks", "--port", str(port)],
        env={**os.environ, **environ, "RAG_CORPORA": str(corpora), "RAG_INBOX": inbox},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait(client, lambda: process.poll() is None)
            yield process, client
    finally:
        process.kill()
        process.communicate()


def wait(client: httpx.Client, lives: Callable[[], bool]) -> None:
    """Until the receiver answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.get("/health")
        except httpx.TransportError:
            assert lives(), "the receiver ended"
            assert time.monotonic() < deadline, "the receiver does not answer"
            time.sleep(0.05)
        else:
            return
