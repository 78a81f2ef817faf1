"""Start the walk's processes, wait for them, and read how they ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

PATIENCE = 240.0
"""Seconds after which a process counts as stuck."""
SECONDS_TO_GO = 30.0


@dataclass(frozen=True)
class Command:
    """A command for one process.

    Attributes:
        arguments: of ``rag-assets``.
        environ: variables that it gets.
        embedded: file to which it appends the texts that it embeds.
        dagster: False runs the stages without Dagster.
        fresh: an interpreter of its own, as a person starts it, instead of a fork.
        at_change: die at the n-th change of the store.
        after: seconds until a signal.
        signal: that signal.
    """

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    embedded: str
    dagster: bool = True
    fresh: bool = False
    at_change: int | None = None
    after: float | None = None
    signal: int = signal.SIGKILL


@dataclass(frozen=True)
class Ended:
    """How a process ended: ``code`` is negative for the signal that ended it, as in ``subprocess``."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def message(self) -> str:
        """All that it wrote, on one line: terminals wrap lines anywhere."""
        return " ".join(f"{self.out} {self.err}".split())


@dataclass(frozen=True)
class Started:
    """A process at work: its pid, the path that its output's files begin with, and when it started."""

    pid: int
    output: Path
    at: float


class Stuck(AssertionError):
    """A process did not end in time."""


class Launcher:
    """Starts processes by forking one that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "rag_assets_tests.soak.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        assert self._answer() == {"ready": True}

    def start(self, command: Command) -> Started:
        """Start a process."""
        self._count += 1
        output = self._folder / f"{self._count:05d}"
        request = {**asdict(command), "out": f"{output}.out", "err": f"{output}.err"}
        self._ask({"start": request})
        return Started(int(self._answer()["pid"]), output, time.monotonic())

    def wait(self, started: Started, command: Command) -> Ended:
        """Wait until it has ended.

        Raises:
            Stuck: it did not end in time; it is killed then.
        """
        self._ask({"wait": started.pid, "seconds": PATIENCE})
        status = self._answer()["status"]
        out, err = (Path(f"{started.output}.{end}").read_text(errors="replace") for end in ("out", "err"))
        if status is None:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            raise Stuck(f"{' '.join(command.arguments)} did not end in {PATIENCE:.0f} s\n{out}\n{err}")
        seconds = time.monotonic() - started.at
        _require_alone(started.pid, command)
        return Ended(os.waitstatus_to_exitcode(status), out, err, seconds)

    def run(self, command: Command) -> Ended:
        """Start a process and wait until it has ended."""
        return self.wait(self.start(command), command)

    def close(self) -> None:
        """End the process that forks."""
        self._server.kill()
        self._server.communicate()

    def _ask(self, request: Any) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        found: dict[str, Any] = json.loads(self._server.stdout.readline())
        return found


def _require_alone(pid: int, command: Command) -> None:
    """A process that ended, however it did, leaves no others behind; parser workers see it within seconds."""
    deadline = time.monotonic() + SECONDS_TO_GO
    while left := [one for one in psutil.process_iter(["cmdline"]) if _session(one.pid) == pid]:
        if time.monotonic() > deadline:
            shown = [" ".join(one.info["cmdline"] or []) for one in left]
            raise AssertionError(f"{' '.join(command.arguments)} left processes behind: {shown}")
        time.sleep(0.05)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
