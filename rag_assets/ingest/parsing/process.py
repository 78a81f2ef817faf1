"""The parent's side of one worker process: start it, ask it, kill it, start it anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import socket, socketpair
from typing import IO

from rag_assets.errors import ConfigurationError
from rag_assets.ingest.parsing.document import Rejection
from rag_assets.ingest.parsing.wire import Garbled, Limits, Outcome, receive, replied, request, send
from rag_assets.ingest.parsing.worker import READY

START_SECONDS = 120.0  # a loaded machine may take long; a worker that cannot start ends at once
EXIT_SECONDS = 5.0  # for a process that closed its pipe to end, so that its exit code is known
ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT"),  # to start at all
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS", "MALLOC_ARENA_MAX"),
    *("LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8", "TMPDIR", "TZ"),
)
"""Variables that a worker gets, and no others: credentials stand in the environment."""


class WorkerFailed(Exception):
    """The worker was lost over a batch; ``rejection`` says how, for a batch of one document."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


class ParserProcess:
    """One worker process, started with the first batch and again after each loss.

    Not for use by several threads at once, except for ``stop``.
    """

    def __init__(self, function: str) -> None:
        self._function = function
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket | None = None
        self._stopped = False

    def run(self, batch: Sequence[tuple[str, bytes]], limits: Limits) -> list[Outcome]:
        """Outcomes of a batch of (format, file), in its order; the whole batch has the time limit.

        Raises:
            WorkerFailed: it took too long or too much memory, the process died, or its reply is none.
            ConfigurationError: the worker does not start.
        """
        connection = self._connection or self._start()
        deadline = time.monotonic() + limits.timeout_seconds
        try:
            send(connection, request(batch, limits), deadline)
            outcomes = replied(receive(connection, limits.reply_bytes(len(batch)), deadline), len(batch))
        except TimeoutError as error:
            self._discard()
            seconds = f"{limits.timeout_seconds:g} seconds"
            raise WorkerFailed(
                Rejection("timeout", f"Parsing took longer than the allowed {seconds}.")
            ) from error
        except (EOFError, OSError) as error:
            code = self._discard(EXIT_SECONDS)
            raise WorkerFailed(
                Rejection("crashed", f"The parser process died ({_how(code)}) over this document.")
            ) from error
        except Garbled as error:
            self._discard()
            raise WorkerFailed(
                Rejection("crashed", f"The parser process gave no usable reply over this document ({error}).")
            ) from error
        for outcome in outcomes:
            if isinstance(outcome, Rejection) and outcome.reason == "memory":
                # Libraries that ran out of memory may be left half loaded: what they say of others counts no more.
                self._discard()
                raise WorkerFailed(outcome)
        return outcomes

    def stop(self) -> None:
        """Kill the process whatever it does, for good; may be called while another thread runs a batch."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Kill the process and free what belonged to it."""
        self.stop()
        self._discard()

    def _start(self) -> socket:
        if self._stopped:
            raise WorkerFailed(Rejection("crashed", "The parser pool was closed."))
        ours, theirs = socketpair()
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with tempfile.TemporaryFile() as complaints:
            with _deaf_to(signal.SIGINT, signal.SIGTERM):
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "rag_assets.ingest.parsing.worker",
                        str(theirs.fileno()),
                        self._function,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    pass_fds=(theirs.fileno(),),
                    env=environment,
                )
            theirs.close()
            if self._stopped:  # between the check above and the start
                self._process.kill()
            self._connection = ours
            self._expect_ready(ours, complaints)
        return ours

    def _expect_ready(self, connection: socket, complaints: IO[bytes]) -> None:
        try:
            if receive(connection, len(READY), time.monotonic() + START_SECONDS) == READY:
                return
        except (EOFError, OSError, Garbled):
            pass
        self._discard()
        complaints.seek(0)
        last_words = complaints.read().decode("utf-8", "replace").strip()[-2000:]
        raise ConfigurationError(
            f"a parser process of {sys.executable} did not start; its last words: {last_words or 'none'}"
        )

    def _discard(self, patience_seconds: float = 0.0) -> int | None:
        """Kill and forget the process; its exit code if it ended by itself within so many seconds."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        try:
            return process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None


@contextmanager
def _deaf_to(*signals: signal.Signals) -> Iterator[None]:
    """Block signals in this thread, and so in a process that it starts, for good.

    A terminal and a service manager send them to all processes at once, and a document whose worker they end would
    count as one that crashes parsers.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how(code: int | None) -> str:
    if code is None:
        return "without an exit code"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
