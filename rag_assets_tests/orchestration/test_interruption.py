"""Signals that arrive at bad moments of the interpreter."""

from __future__ import annotations

import subprocess
import sys

IN_A_FINALIZER = """
import os, signal, sys, time
from rag_assets.orchestration.interruption import interruptible

class Collected:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)  # Python drops what is raised here

def say(line):
    print(line, file=sys.stderr, flush=True)

with interruptible(say):
    Collected()
    time.sleep(60)
"""


def test_a_signal_that_arrives_in_a_finalizer_ends_the_process_without_a_trace() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IN_A_FINALIZER], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 143
    assert ended.stderr.splitlines() == [
        "SIGTERM received: stopping; once more to stop at once",
        "interrupted by SIGTERM: nothing is half; the next run goes on where this one was",
    ]
