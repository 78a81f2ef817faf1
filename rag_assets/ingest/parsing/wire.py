"""What parent and worker say to each other: frames of JSON and plain bytes, because a worker is not to be believed.

files and limits → ``request`` → worker → ``Answer`` of each file → ``reply`` → outcomes. Nothing is pickled: the
parent decodes JSON of bounded size and UTF-8, and takes no answer that breaks the bounds of a document.

A frame is its length in eight bytes, that of its head in four, the head as JSON, and the files or texts one after
another.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from socket import socket
from typing import Any, get_args

from rag_assets.errors import printable, well_formed
from rag_assets.ingest.parsing.bounds import MAX_TITLE
from rag_assets.ingest.parsing.document import ParsedDocument, Reason, Rejection

FRAME, HEAD = struct.Struct(">Q"), struct.Struct(">I")
HEAD_BYTES = 200_000
"""Of the head for each file at most: title, metadata and warnings, in characters of up to four bytes."""
MAX_DETAIL = 1000
REASONS = frozenset(get_args(Reason))

_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

Outcome = ParsedDocument | Rejection
Answer = tuple[bytes, bytes]
"""One outcome: its part of the head, and the text."""


class Garbled(Exception):
    """A frame that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one batch may take.

    Attributes:
        timeout_seconds: for the whole batch.
        memory_mb: MiB of address space that one document may add to the worker.
        text_bytes: of the text of one document, in UTF-8.
    """

    timeout_seconds: float
    memory_mb: int
    text_bytes: int

    def reply_bytes(self, documents: int) -> int:
        """The longest reply to a batch of so many documents."""
        return self.text_bytes + documents * HEAD_BYTES


def send(connection: socket, frame: bytes, deadline: float | None = None) -> None:
    """Send a frame. Raises as ``receive``."""
    connection.settimeout(_left(deadline))
    connection.sendall(FRAME.pack(len(frame)))
    connection.sendall(frame)


def receive(connection: socket, most: int | None = None, deadline: float | None = None) -> bytearray:
    """Receive a frame.

    Args:
        connection: to the other end.
        most: bytes that the frame may have; None: any number.
        deadline: on the clock of ``time.monotonic``; None waits for ever.

    Raises:
        EOFError: the other end has closed.
        TimeoutError: the frame was not there in time.
        OSError: the connection broke.
        Garbled: the frame is longer than it may be.
    """
    (size,) = FRAME.unpack(_exactly(connection, FRAME.size, deadline))
    if most is not None and size > most:
        raise Garbled(f"{size:,} bytes; {most:,} are allowed")
    return _exactly(connection, size, deadline)


def request(batch: Sequence[tuple[str, bytes]], limits: Limits) -> bytes:
    """A batch of (format, file) for a worker."""
    head = {"limits": asdict(limits), "files": [[format, len(data)] for format, data in batch]}
    return _frame(json.dumps(head).encode(), (data for _, data in batch))


def requested(frame: bytearray) -> tuple[list[tuple[str, bytes]], Limits]:
    """The batch and the limits of a ``request``."""
    head, start = _head(frame)
    files = _parts(frame, start, [size for _, size in head["files"]])
    formats = (format for format, _ in head["files"])
    return [(format, bytes(data)) for format, data in zip(formats, files, strict=True)], Limits(
        **head["limits"]
    )


def answer(outcome: Outcome, limits: Limits) -> Answer:
    """One outcome as it is sent. A document that does not fit into the limits becomes a rejection."""
    if isinstance(outcome, Rejection):
        return json.dumps({"reason": outcome.reason, "detail": outcome.detail[:MAX_DETAIL]}).encode(), b""
    text = outcome.text.encode()
    if len(text) > limits.text_bytes:
        found = f"The text has {len(text):,} bytes; {limits.text_bytes:,} are allowed."
        return answer(Rejection("oversized", found), limits)
    about = {
        "title": outcome.title,
        "metadata": outcome.metadata,
        "warnings": outcome.warnings,
        "bytes": len(text),
    }
    return _json(about).encode(), text


def reply(answers: Sequence[Answer]) -> bytes:
    """The answers to a batch, in its order."""
    return _frame(b"[" + b",".join(about for about, _ in answers) + b"]", (text for _, text in answers))


def replied(frame: bytearray, documents: int) -> list[Outcome]:
    """The outcomes of a ``reply``.

    Args:
        frame: what the worker sent.
        documents: of the batch.

    Raises:
        Garbled: it is no reply to such a batch.
    """
    try:
        head, start = _head(frame)
        if not isinstance(head, list) or len(head) != documents:
            raise Garbled(f"expected {documents} answers")
        texts = _parts(frame, start, [about.get("bytes", 0) for about in head])
        return [_outcome(about, text) for about, text in zip(head, texts, strict=True)]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error) as error:
        raise Garbled(f"{type(error).__name__}: {error}") from error


def _outcome(about: Mapping[str, Any], data: memoryview) -> Outcome:
    if "reason" in about:
        if about["reason"] not in REASONS or not isinstance(about["detail"], str):
            raise Garbled("a rejection without a known reason")
        return Rejection(about["reason"], printable(well_formed(about["detail"][:MAX_DETAIL])))
    title, metadata, warnings = about["title"], about["metadata"], about["warnings"]
    # Encoded once more: JSON can hold numbers and halves of characters that the store cannot.
    size = len(_json([title, metadata, warnings]).encode())
    if not isinstance(title, str) or not isinstance(metadata, dict) or not isinstance(warnings, list):
        raise Garbled("a document without title, metadata or warnings")
    if size > HEAD_BYTES or len(title) > MAX_TITLE:
        raise Garbled("title or metadata beyond the bounds")
    text = str(data, "utf-8")
    if not text.strip():
        raise Garbled("a document without text")
    return ParsedDocument(text, title, metadata, tuple(map(str, warnings)))


def _exactly(connection: socket, size: int, deadline: float | None) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        connection.settimeout(_left(deadline))
        received = connection.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return data


def _left(deadline: float | None) -> float | None:
    # At least a moment: a timeout of 0 means something else.
    return None if deadline is None else max(deadline - time.monotonic(), 0.001)


def _frame(head: bytes, parts: Iterable[bytes]) -> bytes:
    return b"".join((HEAD.pack(len(head)), head, *parts))


def _head(frame: bytearray) -> tuple[Any, int]:
    """The head of a frame, and where its parts begin."""
    (size,) = HEAD.unpack_from(frame)
    start = HEAD.size + size
    return json.loads(frame[HEAD.size : start]), start


def _parts(frame: bytearray, start: int, sizes: Sequence[int]) -> Iterator[memoryview]:
    if min(sizes, default=0) < 0 or start + sum(sizes) != len(frame):
        raise Garbled("the sizes do not add up")
    view = memoryview(frame)
    for size in sizes:
        yield view[start : start + size]
        start += size
