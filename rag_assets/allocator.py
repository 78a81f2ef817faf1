"""Keep the resident memory of a batch process near what it uses."""

from __future__ import annotations

import ctypes
import sys

M_ARENA_MAX = -8  # malloc.h of the GNU C library
ARENAS = 2


def limit_arenas() -> None:
    """Let all threads share two heaps of the GNU C library; elsewhere do nothing.

    By default it keeps up to eight heaps per core, and what one heap has freed no other can
    use. LanceDB and PyTorch work with many threads: at 100,000 documents the heaps held a third
    of the process's memory for nothing. Call it before threads start. A process that embeds the
    reader as a library is left alone.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
