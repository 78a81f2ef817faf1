"""A parser that misbehaves as its document says: the text is the fault. Run only inside workers."""

from __future__ import annotations

import os
import time

from rag_assets.parsing.document import ParsedDocument, Unparseable

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
    return ParsedDocument(order, format, {"process": os.getpid()})
