"""Two backends of one model share their vectors once they were measured to agree, and never before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag_assets.cli import app
from rag_assets.corpus import Embedder as Config
from rag_assets.embedding.open import open_embedder
from rag_assets.index.schema import read_metadata
from rag_assets.publication.reader import open_published
from rag_assets_tests.answers.faulty import FaultyServer
from rag_assets_tests.embedding.test_embedders import PACKAGED
from rag_assets_tests.embedding.test_endpoint import serving
from rag_assets_tests.workspace import Workspace, document

MODEL = str(PACKAGED)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Real vectors of the packaged model, over HTTP."""
    model = open_embedder(Config(precision="float32"))
    with FaultyServer(serving(model)).running() as found:
        yield found


def served(server: FaultyServer) -> dict[str, object]:
    return {
        "type": "openai",
        "model": MODEL,
        "precision": "float32",
        "endpoint": {"url": server.url, "model": "minilm", "retries": 0},
    }


def made(tmp_path: Path, embedder: dict[str, object]) -> Workspace:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), embedder=embedder)
    for number in range(3):
        workspace.write(f"{number}.md", document(number))
        os.utime(workspace.documents / f"{number}.md", (1_700_000_000,) * 2)
    return workspace


def parity(workspace: Workspace, code: int = 0) -> dict[str, object]:
    environ = {"RAG_STORE": workspace.store, "RAG_CORPORA": str(workspace.path.parent)}
    result = CliRunner().invoke(app, ["parity", "handbook", "--json"], env=environ)
    assert result.exit_code == code, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_vectors_are_shared_once_they_were_measured_to_agree(tmp_path: Path, server: FaultyServer) -> None:
    local = {"type": "sentence-transformers", "model": MODEL, "precision": "float32"}
    workspace = made(tmp_path, local)
    assert workspace.run()
    version = open_published("handbook", workspace.store).publication.version
    workspace.configure(embedder=served(server))
    found = parity(workspace)
    assert found["problem"] is None
    assert found["min_cosine"] > 0.999  # type: ignore[operator]
    measured = len(server.requests)
    assert workspace.run() == [], "what the one has embedded, the other need not"
    reader = open_published("handbook", workspace.store)
    assert read_metadata(reader.table().schema)["embedder"]["type"] == "sentence-transformers"
    assert reader.publication.version == version, "not even another index is built"
    assert reader.search("anything", 1)
    assert len(server.requests) == measured, "readers need no endpoint"


def test_what_an_endpoint_embeds_after_the_measurement_is_read_without_it(
    tmp_path: Path, server: FaultyServer
) -> None:
    workspace = made(tmp_path, served(server))
    workspace.run()
    assert parity(workspace)["problem"] is None
    workspace.write("new.md", document(9))
    workspace.run()
    asked = len(server.requests)
    reader = open_published("handbook", workspace.store)
    assert {hit.document_id for hit in reader.search("Paragraph 9-1", 20)} >= {"new.md"}
    assert len(server.requests) == asked


def test_without_a_measurement_backends_share_nothing(tmp_path: Path, server: FaultyServer) -> None:
    workspace = made(tmp_path, {"model": MODEL, "precision": "float32"})
    workspace.run()
    workspace.configure(embedder=served(server))
    workspace.run()
    assert server.requests


def test_what_does_not_agree_is_not_shared(tmp_path: Path, server: FaultyServer) -> None:
    workspace = made(tmp_path, served(server))
    workspace.run()
    other = serving(open_embedder(Config(precision="float32", document_prefix="another: ")))
    server.script = other
    found = parity(workspace, code=1)
    assert "0.999 is needed" in str(found["problem"])
    server.script = serving(open_embedder(Config(type="static")))
    assert parity(workspace, code=1)["min_cosine"] == 0.0
    assert not list(Path(workspace.store).glob("parity/*"))


def test_nothing_can_be_measured_before_there_are_chunks(tmp_path: Path, server: FaultyServer) -> None:
    workspace = made(tmp_path, served(server))
    environ = {"RAG_STORE": workspace.store, "RAG_CORPORA": str(workspace.path.parent)}
    result = CliRunner().invoke(app, ["parity", "handbook"], env=environ)
    assert result.exit_code == 1
    assert "no chunks yet" in result.output
    assert server.requests == []
