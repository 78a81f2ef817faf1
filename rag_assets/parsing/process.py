"""The parent's side of one worker process: start it, ask it, kill it, start it anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from typing import IO

from rag_assets.errors import ConfigurationError
from rag_assets.parsing.document import Rejection
from rag_assets.parsing.worker import READY, Outcome

START_SECONDS = 120.0  # a loaded machine may take long; a worker that cannot start ends at once
EXIT_SECONDS = 5.0  # for a process that closed its pipe to end, so that its exit code is known


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
        self._connection: Connection | None = None
        self._stopped = False

    def run(self, batch: list[tuple[str, bytes]], timeout_seconds: float, memory_mb: int) -> list[Outcome]:
        """Outcomes of a batch of (format, file), in its order; the whole batch has the time limit.

        Raises:
            WorkerFailed: it took too long, or the process died.
            ConfigurationError: the worker does not start.
        """
        connection = self._connection or self._start()
        try:
            connection.send((batch, timeout_seconds, memory_mb))
            if not connection.poll(timeout_seconds):
                self._discard()
                raise WorkerFailed(
                    Rejection("timeout", f"Parsing took longer than the allowed {timeout_seconds:g} seconds.")
                )
            outcomes: list[Outcome] = connection.recv()
        except (EOFError, OSError) as error:
            code = self._discard(EXIT_SECONDS)
            raise WorkerFailed(
                Rejection("crashed", f"The parser process died ({_how(code)}) over this document.")
            ) from error
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

    def _start(self) -> Connection:
        if self._stopped:
            raise WorkerFailed(Rejection("crashed", "The parser pool was closed."))
        ours, theirs = Pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with tempfile.TemporaryFile() as complaints:
            with _deaf_to(signal.SIGINT, signal.SIGTERM):
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "rag_assets.parsing.worker",
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

    def _expect_ready(self, connection: Connection, complaints: IO[bytes]) -> None:
        try:
            if connection.poll(START_SECONDS) and connection.recv() == READY:
                return
        except (EOFError, OSError):
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
