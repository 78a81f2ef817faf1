"""A stream asks an endpoint for its canary before it takes any vector from it, wherever the stream runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_assets.errors import ModelError
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.ingest.embedding.test_embedders import PACKAGED
from rag_assets_tests.ingest.embedding.test_endpoint import reply
from rag_assets_tests.ingest.streaming.corpora import aged, on, pipeline, workspace, written
from rag_assets_tests.workspace import document, run_stages

pytestmark = pytest.mark.xdist_group("ray")  # two clusters on one machine want one port


@pytest.mark.parametrize("engine", ["stream", pytest.param("ray", marks=pytest.mark.slow)])
def test_vectors_of_another_model_under_the_old_name_are_refused(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "ray":
        request.getfixturevalue("cluster")
    served = [1.0, 2.0, 3.0]

    def answer(call: int, asked: dict[str, Any]) -> tuple[int, str]:
        return 200, reply(np.asarray([served] * len(asked["input"]), np.float32))

    with FaultyServer(answer).running() as server:
        embedder = {
            "type": "openai",
            "model": str(PACKAGED),
            "endpoint": {"url": server.url, "model": "m", "retries": 0},
        }
        found = workspace(tmp_path, engine)
        found.configure(**on(engine, {"embedder": embedder}))
        found.write("a.md", document(1))
        aged(found)
        run_stages(pipeline(found))
        before = written(found, "embeddings")
        assert before > 0

        served[:] = [3.0, 1.0, 2.0]
        found.write("b.md", document(2))
        with pytest.raises(ModelError, match="other vectors than before"):
            pipeline(found).documents()
        assert written(found, "embeddings") == before
