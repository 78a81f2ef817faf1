"""Facts about the machine and the libraries that figures depend on. No names, no paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "torch", "transformers", "sentence-transformers", "tokenizers", "lancedb", "pylance", "polars", "pyarrow",
    "dagster", "semantic-text-splitter", "langchain-text-splitters",
)  # fmt: skip


def machine() -> dict[str, str]:
    """CPU, cores, memory, operating system, Python, versions of libraries."""
    return {
        "CPU": _cpu(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {found}" for name in LIBRARIES if (found := _version(name))),
    }


def _cpu() -> str:
    """Model and the features that decide which precision is fast."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line), "")
    features = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {name}" in text]
    return f"{model or platform.machine()} ({', '.join(features) or 'no vector extensions named'})"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
