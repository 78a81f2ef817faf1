"""Keep the resident memory of a batch process near what it uses."""

from __future__ import annotations

import ctypes
import os
import sys

M_ARENA_MAX = -8  # malloc.h of the GNU C library
ARENAS = 2
JEMALLOC = "dirty_decay_ms:0,muzzy_decay_ms:0"


def return_memory() -> None:
    """Make allocators give back what is free; call it before Polars is imported and threads start.

    The GNU C library keeps up to eight heaps per core, and what one has freed no other can use:
    LanceDB and PyTorch, which work with many threads, held a third of a process's memory so for
    nothing. Here all threads share two. The allocator of Polars keeps what was freed for half a
    second, in which it is given as much again: here it keeps nothing. Neither costs time that could be
    measured. A process that embeds the reader as a library is left alone.
    """
    if sys.platform != "linux":
        return
    os.environ.setdefault("_RJEM_MALLOC_CONF", JEMALLOC)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
