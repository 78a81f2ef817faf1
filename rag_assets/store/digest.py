"""Content keys: BLAKE3, 128 bits, lower-case hex (32 characters)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from blake3 import blake3


def digest(*parts: bytes | str) -> str:
    """Key of one or more parts. Lengths are hashed too, so that ("ab", "c") and ("a", "bc") differ."""
    hasher = blake3()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
    return hasher.hexdigest(length=16)


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Key of a set of JSON-able settings, whatever their order."""
    return digest(json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
