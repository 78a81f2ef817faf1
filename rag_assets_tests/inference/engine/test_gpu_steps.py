"""A corpus whose three models all run in vLLM, on a GPU by declaration: three steps each, and no engine without work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_assets.inference.engine import close_engines
from rag_assets_tests.inference.engine.conftest import SMALL, engines
from rag_assets_tests.orchestration.test_gpu_steps import steps
from rag_assets_tests.orchestration.test_materialize import fresh, materialize, materialized

# vLLM and PyTorch warn about their own code.
pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]


def test_embedding_answers_and_judgements_start_engines_only_when_something_is_missing(
    smollm2: Path, tmp_path: Path
) -> None:
    pytest.importorskip("deepeval", reason="needs the extra 'quality'")
    chat: dict[str, Any] = {
        "type": "vllm",
        "model": str(smollm2),
        "max_tokens": 200,
        "vllm": {"max_model_len": 3072, **SMALL},
    }
    answers = {"generator": chat, "judge": chat, "case_seconds": 300, "max_unjudged_share": 1}
    workspace = fresh(
        tmp_path,
        str(tmp_path / "store"),
        gpu={},
        embedder={"type": "vllm", "precision": "float32", "vllm": SMALL},
        evaluation={"gold": "gold.jsonl", "answers": answers},
    )
    models = {f"handbook__{stage}.model" for stage in ("embeddings", "answers", "judgements")}
    first = materialize(workspace)
    assert first.success
    assert steps(first, "STEP_SUCCESS") >= models
    made = materialized(first)
    assert made["embeddings"]["embedded"] > 0
    assert [made[stage]["made"] + made[stage]["failed"] for stage in ("answers", "judgements")] == [1, 1]

    # What the weak model failed at is missing still, and rightly asked again.
    owing = {f"handbook__{stage}.model" for stage in ("answers", "judgements") if made[stage]["failed"]}
    close_engines()
    second = materialize(workspace)
    assert second.success
    assert steps(second, "STEP_SKIPPED") == models - owing
    assert bool(engines()) == bool(owing)
