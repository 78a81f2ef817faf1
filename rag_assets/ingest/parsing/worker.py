"""One parser process: reads batches from a pipe, parses under limits, answers with values.

Started by ``pool`` as ``python -m rag_assets.ingest.parsing.worker FD FUNCTION``. It imports nothing but
this folder, and each library only when the first document needs it.
"""

from __future__ import annotations

import importlib
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from socket import socket

from rag_assets.ingest.parsing.document import ParsedDocument, Rejection, Unparseable
from rag_assets.ingest.parsing.wire import Answer, Limits, Outcome, answer, receive, reply, requested, send

Parse = Callable[[bytes, str], ParsedDocument]

READY = b"ready"
PR_SET_PDEATHSIG = 1  # sys/prctl.h
ORPHAN_GRACE = 5  # seconds after the time limit at which a worker ends itself if nobody did


def main(descriptor: int, function: str) -> None:
    """Serve batches until the other end closes."""
    _end_with_parent()
    module, _, name = function.partition(":")
    parse: Parse = getattr(importlib.import_module(module), name)
    with socket(fileno=descriptor) as connection:
        send(connection, READY)
        _be_silent()
        while True:
            try:
                batch, limits = requested(receive(connection))
            except EOFError:
                return
            _end_myself_after(limits.timeout_seconds + ORPHAN_GRACE)
            send(connection, reply([_limited(parse, data, format, limits) for format, data in batch]))
            _end_myself_after(0)


def _end_with_parent() -> None:
    """Have the system kill this process when the thread that started it ends, however that comes about.

    Only Linux can; elsewhere a worker ends when it wants the next batch, or at its time limit.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_silent() -> None:
    """Until here stderr told the parent why a start failed; from here on libraries would only fill it."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())


def outcome(parse: Parse, data: bytes, format: str) -> Outcome:
    """What ``parse`` returns, or the rejection that it raises."""
    try:
        return parse(data, format)
    except Unparseable as error:
        return error.rejection


def _limited(parse: Parse, data: bytes, format: str, limits: Limits) -> Answer:
    try:
        _allow_memory(limits.memory_mb)
        return answer(outcome(parse, data, format), limits)
    except MemoryError:
        found = f"Parsing needs more than the allowed {limits.memory_mb} MiB of memory."
        return answer(Rejection("memory", found), limits)
    finally:
        _allow_memory(None)


def _allow_memory(memory_mb: int | None) -> None:
    """Limit the address space to what it is now plus so much; None lifts the limit.

    Where the system does not tell the present size (anything but Linux), there is no limit.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if memory_mb is None:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        return
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    wanted = used + memory_mb * 1024 * 1024
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end_myself_after(seconds: float) -> None:
    """Backstop for the case that the parent dies while a document hangs; 0 cancels it."""
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(seconds))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
