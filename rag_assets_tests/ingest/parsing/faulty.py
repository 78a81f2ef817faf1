"""A parser that misbehaves as its document says: the text is the fault. Run only inside workers."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time
from pathlib import Path
from typing import Any

from rag_assets.ingest.parsing.document import ParsedDocument, Unparseable

HOARD: list[bytearray] = []


def parse(data: bytes, format: str) -> ParsedDocument:
    order = data.decode("utf-8", "replace")
    if order.startswith("hang"):
        time.sleep(3600)
    if order.startswith("eat memory"):
        while True:
            HOARD.append(bytearray(16 * 1024 * 1024))
    if order.startswith("crash"):
        os.abort()
    if order.startswith("exit"):
        os._exit(3)
    if order.startswith("reject"):
        raise Unparseable("corrupt", "Ordered to be rejected.")
    if order.startswith("say"):
        _say(order.removeprefix("say "))
    if order.startswith("show environment"):
        return ParsedDocument("\n".join(f"{name}={value}" for name, value in os.environ.items()), "", {})
    if order.startswith("give"):
        return _give(order.removeprefix("give "))
    return ParsedDocument(order, format, {"process": os.getpid()})


class _Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self._path),)


def _say(what: str) -> None:
    """Say something to the parent behind the worker's back, and hang."""
    connection = int(sys.argv[1])
    kind, _, rest = what.partition(" ")
    match kind:
        case "pickle":  # a frame of multiprocessing's
            frame = pickle.dumps([_Trap(rest)])
            os.write(connection, struct.pack("!i", len(frame)) + frame)
        case "much":
            os.write(connection, struct.pack(">Q", 2**40))
        case "half":
            os.write(connection, struct.pack(">Q", 1000) + b"x")
        case "frame":
            head = rest.encode()
            os.write(connection, struct.pack(">QI", 4 + len(head), len(head)) + head)
    time.sleep(3600)


def _give(what: str) -> ParsedDocument:
    """Something that no parser of ours gives."""
    match what:
        case "a long text":
            return ParsedDocument("x" * 21_000_000, "", {})
        case "no text":
            return ParsedDocument(" ", "", {})
        case "a long title":
            return ParsedDocument("x", "x" * 1_400_000, {})
        case "much metadata":
            return ParsedDocument("x", "", {"a": "x" * 300_000})
        case "a giant number":
            return ParsedDocument("x", "", {"a": 16**4000})
        case "half a character":
            return ParsedDocument("x", "\ud800", {})
        case "no number":
            return ParsedDocument("x", "", {"a": float("nan")})
        case "no JSON":
            return ParsedDocument("x", "", {"a": object()})  # type: ignore[dict-item]
    raise Unparseable("corrupt", f"{what}: \ud800\x1b[31m")
