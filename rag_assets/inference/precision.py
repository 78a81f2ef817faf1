"""Which arithmetic the hardware computes natively, found without loading a model."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bfloat16"]


def resolve(setting: Literal["auto", "float32", "bfloat16"]) -> Precision:
    """The precision that ``auto`` means on this machine; others as they are.

    bfloat16 pays where the CPU multiplies it natively (AMX or AVX-512 BF16) or a CUDA GPU is
    there. Runs on different hardware that share a store should set it, or texts are embedded
    once per precision.
    """
    if setting != "auto":
        return setting
    return "bfloat16" if _native_bfloat16() else "float32"


@cache
def _native_bfloat16() -> bool:
    if Path("/proc/driver/nvidia/version").exists():
        return True
    try:
        cpu = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in cpu or "amx_bf16" in cpu
