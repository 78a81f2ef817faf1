"""Bytes of a text format → str: byte order mark, UTF-8, declared charset, then detection."""

from __future__ import annotations

import codecs

from rag_assets.ingest.parsing.document import Unparseable

BYTE_ORDER_MARKS = (  # UTF-32 first: its mark starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DETECTION_BYTES = 200_000  # the detector's cost grows with its input; a sample decides as well
CONTROL = bytes((*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)))
MAX_CONTROL_SHARE = 0.01  # stray control characters occur in real text; more means binary


def decode(data: bytes, declared: str | None = None) -> str:
    """Text with ``\\n`` line ends and without byte order mark.

    Args:
        data: the file.
        declared: charset that the document names itself, tried when it is not UTF-8.

    Raises:
        Unparseable: binary (control characters) or undecodable (no charset fits).
    """
    text = _decode(data, declared)
    if "\x00" in text:
        raise Unparseable("binary", f"The text holds a null byte at character {text.index(chr(0))}.")
    encoded = text.encode("utf-8", "surrogatepass")  # counting in bytes takes a third of the time
    controls = len(encoded) - len(encoded.translate(None, CONTROL))
    if controls > MAX_CONTROL_SHARE * len(text):
        raise Unparseable("binary", f"{controls} of {len(text)} characters are control characters.")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def _decode(data: bytes, declared: str | None) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding, f"The file starts with the byte order mark of {encoding}")
    if b"\x00" in data:
        wide = _utf16_without_mark(data)
        if wide is None:
            raise Unparseable("binary", f"The file holds a null byte at offset {data.index(0)}.")
        return _strictly(data, wide, f"The pattern of null bytes looks like {wide}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if declared is not None:
        try:
            return data.decode(declared)
        except (UnicodeDecodeError, LookupError):
            pass
    return _detect(data)


def _strictly(data: bytes, encoding: str, why: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unparseable(
            "undecodable", f"{why} but does not decode: {error.reason} at {error.start}."
        ) from error


def _utf16_without_mark(data: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a null in nearly every second byte, always on one side."""
    sample = data[: len(data[:4096]) // 2 * 2]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.6 * half and even == 0:
        return "utf-16-le"
    if even > 0.6 * half and odd == 0:
        return "utf-16-be"
    return None


def _detect(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:DETECTION_BYTES]).best()
    if best is None:
        raise Unparseable("undecodable", "The file is not UTF-8 and no other charset fits its bytes.")
    try:
        return data.decode(best.encoding)
    except UnicodeDecodeError as error:
        raise Unparseable(
            "undecodable",
            f"The file looked like {best.encoding} but has {error.reason} at byte {error.start}.",
        ) from error
