"""Run a command as a user would, and measure it: wall time with process start, memory with children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended well. ``peak_bytes``: resident memory of the process and its children together."""

    seconds: float
    peak_bytes: int
    output: str


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without its settings for this package, and without telemetry."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("RAG_") and key != "DAGSTER_HOME"
    }
    paths = [str(ROOT), *kept.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        **extra,
    }


def run(
    arguments: Sequence[str], extra: Mapping[str, str] | None = None, python: str | None = None
) -> Finished:
    """Run Python with arguments; ``python`` names the interpreter of another environment.

    Raises:
        RuntimeError: it failed; with the end of what it wrote to standard error.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [python or sys.executable, *arguments],
        env=environment(extra or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    sampler = _Sampler(process.pid)
    sampler.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} exited with {process.returncode}:\n{errors[-4000:]}")
    return Finished(seconds, sampler.stop(), output)


class _Sampler(threading.Thread):
    """Adds up the resident memory of a process tree, five times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self._peak = 0

    def run(self) -> None:
        import psutil

        try:
            root = psutil.Process(self._pid)
        except psutil.NoSuchProcess:
            return
        while not self._ended.wait(SAMPLE_SECONDS):
            total = 0
            try:
                for process in (root, *root.children(recursive=True)):
                    try:
                        total += process.memory_info().rss
                    except psutil.NoSuchProcess:
                        continue
            except psutil.NoSuchProcess:
                return
            self._peak = max(self._peak, total)

    def stop(self) -> int:
        """End sampling. Returns the peak in bytes."""
        self._ended.set()
        self.join()
        return self._peak
