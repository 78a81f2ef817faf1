"""An HTTP server on loopback that records what it gets and answers as told: to inject faults, nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    endless: bool = False  # a body that never ends
    delay: float = 0.0


class Receiver:
    """Answers by ``script``: (number of the request from 1, request) → reply."""

    def __init__(self, script: Callable[[int, Request], Reply] = lambda number, request: Reply()) -> None:
        self.script = script
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.rfile.read(length))
                with outer._lock:
                    outer.requests.append(request)
                    number = len(outer.requests)
                reply = outer.script(number, request)
                outer._closing.wait(reply.delay)
                with suppress(OSError):  # the client may have given up
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    if not reply.endless:
                        self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                    while reply.endless and not outer._closing.is_set():
                        self.wfile.write(b"x" * 65536)
                        time.sleep(0.001)

            do_GET = do_POST = do_PUT = do_PURGE = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._closing.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()
