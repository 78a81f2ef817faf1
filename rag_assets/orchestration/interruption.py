"""Obey SIGINT and SIGTERM within seconds, whatever the process is doing.

Python runs a signal's handler in the main thread, and only between two of its own instructions: a main thread that
waits for a batch of a model, or for an index to be built, does not notice. Therefore a second thread reads the
signals, too. It gives the main thread a few seconds to end in good order, which saves what is in hand; then, or at a
second signal, it ends the process. That loses no more than ``kill -9`` does: the batch in hand.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread

from rag_assets.orchestration.process import descendants

OBEYED = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 5.0
"""For ending in good order. Docker waits 10 seconds before it kills, Kubernetes 30."""
LAST_WORDS_SECONDS = 3.0
"""For what is done before a process is ended by force, such as freeing its slots in a database."""
SILENT_SECONDS = 1.0
"""After which a person is told that the end takes a moment."""
LOOK_SECONDS = 0.2
OVER = 0  # written by us; no signal has this number


class Interruption:
    """Whether this process was told to end, and what is to be done before it is ended by force."""

    def __init__(self) -> None:
        self.reading, self.writing = socket.socketpair()
        self.reading.setblocking(False)
        self.writing.setblocking(False)
        self._lock = Lock()
        self._received: list[int] = []
        self._last_words: list[Callable[[], None]] = []

    @property
    def signal(self) -> int | None:
        """Number of the first signal that told the process to end, or None."""
        return next((number for number in self._read() if number in OBEYED), None)

    def before_force(self, action: Callable[[], None]) -> None:
        """Have something done before the process is ended by force, in a thread, while others may still work.

        Args:
            action: takes seconds at most; what takes longer is cut off.
        """
        self._last_words.append(action)

    def watch(self, tell: Callable[[str], None]) -> None:
        """End the process after a signal; return when the block is over without one.

        Args:
            tell: shows a line to the person who waits.
        """
        while (number := self.signal) is None:
            if OVER in self._read():
                return
            select.select([self.reading], [], [], LOOK_SECONDS)
        if not self._again(SILENT_SECONDS):
            tell(f"{signal.Signals(number).name} received: stopping; once more to stop at once")
            self._again(GRACE_SECONDS - SILENT_SECONDS)
        last_words = Thread(target=self._say_last_words, daemon=True)
        last_words.start()
        last_words.join(LAST_WORDS_SECONDS)
        tell(interrupted(number))
        for child in descendants(os.getpid()):  # an engine of a model would keep its GPU
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        os._exit(128 + number)

    def _again(self, seconds: float) -> bool:
        """Whether a second signal has come, at the latest after so many seconds."""
        deadline = time.monotonic() + seconds
        while sum(number in OBEYED for number in self._read()) < 2:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _say_last_words(self) -> None:
        for action in self._last_words:
            action()

    def _read(self) -> list[int]:
        """All that came so far. A signal is here before its handler is called."""
        with self._lock:
            with suppress(BlockingIOError):
                self._received += self.reading.recv(256)
            return self._received


def interrupted(number: int) -> str:
    """What an interrupted command says at last."""
    name = signal.Signals(number).name
    return f"interrupted by {name}: nothing is half; the next run goes on where this one was"


@contextmanager
def interruptible(tell: Callable[[str], None]) -> Iterator[Interruption]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt in a block, and end the process if that does not end it.

    To be entered in the main thread. After a signal the process ends within seconds, even if what comes after
    the block does not.

    Args:
        tell: shows a line to the person who waits.
    """
    found = Interruption()
    # Also where SIGINT is ignored, as in the background of a script: Dagster gives SIGTERM the handler of SIGINT.
    before = {number: signal.signal(number, signal.default_int_handler) for number in OBEYED}
    unmute = _mute(found)
    wakeup = signal.set_wakeup_fd(found.writing.fileno(), warn_on_full_buffer=False)
    watching = Thread(target=found.watch, args=(tell,), name="interruption", daemon=True)
    watching.start()
    try:
        yield found
    finally:
        if found.signal is None:
            unmute()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            found.writing.send(bytes([OVER]))
            watching.join()
            found.reading.close()
            found.writing.close()


def _mute(found: Interruption) -> Callable[[], None]:
    """Have Python show no trace of an exception that a signal raised and a library swallowed.

    It strikes anywhere. Python shows what a finalizer drops, and what a library without a handler logs, as
    SQLAlchemy does where it closes a connection. The watching thread ends the process even so.

    Returns:
        undoes it.
    """
    hook, last = sys.unraisablehook, logging.lastResort

    def working(record: logging.LogRecord) -> bool:
        return found.signal is None

    def unraisable(dropped: sys.UnraisableHookArgs) -> None:
        if found.signal is None:
            hook(dropped)

    def undo() -> None:
        sys.unraisablehook = hook
        if last is not None:
            last.removeFilter(working)

    sys.unraisablehook = unraisable
    if last is not None:
        last.addFilter(working)
    return undo
