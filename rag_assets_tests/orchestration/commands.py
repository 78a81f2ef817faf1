"""The command line on a Dagster home that outlives its processes, as a user has it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus

from rag_assets_tests.stack import CHECKOUT
from rag_assets_tests.workspace import Workspace, document

PROMPT_SECONDS = 60.0
"""What is prompt on a machine that has much else to do; without limit it would be minutes or for ever."""


class Home:
    """A Dagster home with a store and corpora.

    Args:
        root: folder for everything.
        instance: text of ``dagster.yaml``; the project's by default.
    """

    def __init__(self, root: Path, instance: str | None = None) -> None:
        self.root = root
        self.folder = root / "home"
        self.folder.mkdir()
        self.hold = root / "hold"
        if instance is None:
            shutil.copy(CHECKOUT / "dagster.yaml", self.folder)
        else:
            (self.folder / "dagster.yaml").write_text(instance)
        self.environ = {
            "DAGSTER_HOME": str(self.folder),
            "RAG_STORE": str(root / "store"),
            "RAG_CORPORA": str(root / "corpora"),
            "PYTHONPATH": str(CHECKOUT),
            "HOLD": str(self.hold),
        }

    def corpus(self, name: str = "handbook", **settings: Any) -> Workspace:
        """A corpus with a few documents."""
        found = Workspace(
            self.root, self.environ["RAG_STORE"], name, **{"parsing": {"workers": 1}, **settings}
        )
        for number in range(3):
            found.write(f"d{number}.md", document(number, 2))
        return found

    def start(self, *arguments: str, hold_in: str | None = None) -> subprocess.Popen[str]:
        """A command in a process group of its own, as a shell starts it; held in the middle if asked to."""
        if hold_in is not None:
            self.hold.touch()
            self.hold.with_suffix(".reached").unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "rag_assets_tests.orchestration.held_command", *arguments],
            env={**os.environ, **self.environ, "HOLD_IN": hold_in or ""},
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        process = self.start(*arguments)
        out, error = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def held(self, *arguments: str, hold_in: str) -> subprocess.Popen[str]:
        """A command that is held in the middle by now."""
        process = self.start(*arguments, hold_in=hold_in)
        until(self.hold.with_suffix(".reached").exists, process)
        return process

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.folder))

    def statuses(self) -> list[DagsterRunStatus]:
        """How the runs ended, oldest first."""
        with self.instance() as instance:
            return [run.status for run in reversed(instance.get_runs())]

    def slots(self) -> list[tuple[str, str]]:
        """(pool, run) of all slots that are held or waited for."""
        with self.instance() as instance:
            storage = instance.event_log_storage
            found = storage.get_concurrency_infos([*storage.get_concurrency_keys()])
        return [
            (pool, one.run_id)
            for pool, info in found.items()
            for one in (*info.claimed_slots, *info.pending_steps)
        ]


def until(happened: Callable[[], object], process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait until something has happened while a process lives."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told(process: subprocess.Popen[str]) -> str:
    """The next line that a process writes on standard error."""
    assert process.stderr is not None
    return process.stderr.readline()


def stop(
    process: subprocess.Popen[str], number: signal.Signals, *, group: bool = False
) -> tuple[int, str, str]:
    """Send a signal; the exit code, standard output and standard error of the process. It must be prompt."""
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, error = process.communicate(timeout=PROMPT_SECONDS)
    return process.returncode, out, error


def kill(process: subprocess.Popen[str]) -> None:
    """What the kernel does when memory runs out."""
    process.kill()
    process.communicate()
