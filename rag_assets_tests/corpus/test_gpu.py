"""The group ``gpu`` of a corpus file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_assets.corpus import load_corpus
from rag_assets_tests.corpus.test_corpus_file import MINIMAL, mistakes, write

PRECISE = f"{MINIMAL}embedder: {{precision: float32}}\n"


def test_one_gpu_of_any_kind_is_the_default(tmp_path: Path) -> None:
    gpu = load_corpus(write(tmp_path, f"{PRECISE}gpu: {{}}\n"), {}).gpu
    assert gpu is not None
    assert (gpu.count, gpu.memory_gib, gpu.image, gpu.tolerations) == (1, None, None, ())
    assert load_corpus(write(tmp_path, MINIMAL), {}).gpu is None


def test_machines_with_and_without_a_gpu_must_agree_on_precision(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, f"{MINIMAL}gpu: {{}}\n")
    assert "embedder.precision: float32 or bfloat16" in mistake
    static = load_corpus(write(tmp_path, f"{MINIMAL}embedder: {{type: static}}\ngpu: {{}}\n"), {})
    assert static.gpu is not None, "a static table is computed the same everywhere"


@pytest.mark.parametrize(
    ("gpu", "field"),
    [
        ("", "gpu: found nothing; write gpu: {}"),
        ("{count: 0}", "gpu.count: found 0"),
        ("{memory: 40}", "gpu.memory: unknown field; did you mean 'memory_gib'?"),
        ("{tolerations: [{key: gpu, operator: Equal}]}", "Equal needs a value"),
        ("{tolerations: [{key: gpu, value: a}]}", "Exists must not have one"),
        ("{tolerations: [{operator: Equal, value: a}]}", "Equal needs a key"),
        ("{secrets: [{variable: HF_TOKEN, secret: Hub, key: token}]}", "a name as Kubernetes has them"),
        ("{secrets: [{variable: hf-token, secret: hub, key: token}]}", "the name of an environment variable"),
    ],
)
def test_a_mistake_is_shown_with_its_field(tmp_path: Path, gpu: str, field: str) -> None:
    (mistake,) = mistakes(tmp_path, f"{PRECISE}gpu: {gpu}\n")
    assert field in mistake
