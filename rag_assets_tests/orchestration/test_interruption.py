"""Signals that arrive at bad moments of the interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rag_assets.cli import main

PROGRAM = """
import logging, os, signal, sys, time
from contextlib import nullcontext
from dagster._core.errors import raise_execution_interrupts
from rag_assets.orchestration.interruption import interruptible

def say(line):
    print(line, file=sys.stderr, flush=True)

def struck():
    os.kill(os.getpid(), signal.SIGTERM)

class Collected:
    def __del__(self):
        struck()

def caught():
    try:
        struck()
    except BaseException:
        logging.getLogger("library").exception("closing a connection")

with interruptible(say), {handlers}:
    {moment}()
    time.sleep(60)
"""


@pytest.mark.parametrize("handlers", ["nullcontext()", "raise_execution_interrupts()"])
@pytest.mark.parametrize("moment", ["Collected", "caught"])
def test_a_signal_that_a_finalizer_or_a_library_swallows_ends_the_process_without_a_trace(
    moment: str, handlers: str
) -> None:
    program = PROGRAM.format(moment=moment, handlers=handlers)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 143
    assert ended.stderr.splitlines() == [
        "SIGTERM received: stopping; once more to stop at once",
        "interrupted by SIGTERM: nothing is half; the next run goes on where this one was",
    ]


def test_ctrl_c_before_a_command_has_begun_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def struck() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rag_assets.cli.app", struck)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
