"""Two backends of one model share their vectors once they were measured to agree, and never before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag_assets.cli import app
from rag_assets.corpus import Embedder as Config
from rag_assets.errors import ModelError
from rag_assets.index.schema import read_metadata
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.ingest.embedding.parity import Agreement, Parity, ParityLog
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.pipeline.plan import plan
from rag_assets.publication.reader import open_published
from rag_assets.store.files import ObjectDamaged
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.inference.faulty import FaultyServer
from rag_assets_tests.ingest.embedding.test_embedders import PACKAGED
from rag_assets_tests.ingest.embedding.test_endpoint import serving
from rag_assets_tests.workspace import Workspace, document, run_stages

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


def test_what_counts_as_another_is_not_measured_for_that_one(tmp_path: Path, server: FaultyServer) -> None:
    """Else what was measured of the endpoint would go on record for an embedder that nobody asked."""
    local = {"type": "sentence-transformers", "model": MODEL, "precision": "float32"}
    workspace = made(tmp_path, local)
    workspace.run()
    workspace.configure(embedder=served(server))
    assert parity(workspace)["problem"] is None
    before = {path: path.read_bytes() for path in Path(workspace.store).rglob("parity/*.json")}
    environ = {"RAG_STORE": workspace.store, "RAG_CORPORA": str(workspace.path.parent)}
    result = CliRunner().invoke(app, ["parity", "handbook"], env=environ)
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert "count as those of sentence-transformers in float32 since" in said
    assert "delete" in said and "parity/" in said.replace(" ", "")
    assert {path: path.read_bytes() for path in Path(workspace.store).rglob("parity/*.json")} == before


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


@pytest.mark.parametrize(
    ("model", "least"), [({"document_prefix": "another: "}, 0.1), ({"type": "static"}, 0.0)]
)
def test_what_does_not_agree_is_not_shared(
    tmp_path: Path, server: FaultyServer, model: dict[str, object], least: float
) -> None:
    server.script = serving(open_embedder(Config.model_validate({"precision": "float32", **model})))
    workspace = made(tmp_path, served(server))
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    pipeline.chunks()
    found = parity(workspace, code=1)
    assert "0.999 is needed" in str(found["problem"])
    assert least <= found["min_cosine"] < 0.999  # type: ignore[operator]
    assert not list(Path(workspace.store).glob("parity/*"))


def stages(workspace: Workspace) -> None:
    """A run without a counter between pipeline and embedder."""
    run_stages(Pipeline(workspace.objects, workspace.corpus, run_id="run"))


def test_what_an_endpoint_has_embedded_before_the_measurement_is_not_embedded_again(
    tmp_path: Path, server: FaultyServer
) -> None:
    workspace = made(tmp_path, served(server))
    stages(workspace)
    assert parity(workspace)["problem"] is None
    assert plan(workspace.objects, workspace.corpus).embed == 0
    assert workspace.run() == []
    assert "count as those of sentence-transformers in float32 since" in refusal(workspace)


def refusal(workspace: Workspace) -> str:
    environ = {"RAG_STORE": workspace.store, "RAG_CORPORA": str(workspace.path.parent)}
    result = CliRunner().invoke(app, ["parity", "handbook"], env=environ)
    assert result.exit_code == 2
    return str(result.output)


def test_a_text_that_a_model_refuses_does_not_stop_the_measurement(
    tmp_path: Path, server: FaultyServer
) -> None:
    good = server.script
    server.script = lambda call, request: (
        (400, "{}") if any("poison" in text for text in request["input"]) else good(call, request)
    )
    workspace = made(tmp_path, served(server))
    workspace.write("bad.md", "# Bad\n\nThis is poison for some models.\n")
    workspace.run()
    assert parity(workspace)["problem"] is None


def test_readers_follow_the_corpus_file_also_after_the_measurement(
    tmp_path: Path, server: FaultyServer
) -> None:
    workspace = made(tmp_path, served(server))
    workspace.run()
    parity(workspace)
    workspace.run()
    workspace.configure(embedder={**served(server), "query_prefix": "query: "})
    workspace.run()
    about = read_metadata(open_published("handbook", workspace.store).table().schema)["embedder"]
    assert (about["type"], about["query_prefix"]) == ("sentence-transformers", "query: ")


def test_another_model_under_the_same_name_is_noticed_before_and_after_the_measurement(
    tmp_path: Path, server: FaultyServer
) -> None:
    right = server.script
    wrong = serving(open_embedder(Config(precision="float32", document_prefix="another: ")))
    workspace = made(tmp_path, {"model": MODEL, "precision": "float32"})
    stages(workspace)
    workspace.configure(embedder=served(server))
    parity(workspace)
    server.script = wrong
    workspace.write("new.md", document(9))
    with pytest.raises(ModelError, match="another model under this name"):
        stages(workspace)
    server.script = right
    stages(workspace)
    assert "new.md" in set(workspace.rows(vectors=False)["document_id"])


def test_how_an_endpoint_is_asked_changes_nothing_for_readers(tmp_path: Path, server: FaultyServer) -> None:
    embedder = served(server)
    workspace = made(tmp_path, embedder)
    workspace.run()
    endpoint = {**embedder["endpoint"], "concurrency": 3, "timeout_seconds": 7}  # type: ignore[dict-item]
    workspace.configure(embedder={**embedder, "endpoint": endpoint})
    assert not plan(workspace.objects, workspace.corpus).publish


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"precisions": ("float32", None)}, None),
        ({"precisions": ("float32", "bfloat16")}, "float32 and bfloat16"),
        ({"min_cosine": 0.9989}, "0.999 is needed"),
        ({"stretch": 0.02}, "2.0%"),
    ],
)
def test_what_counts_as_agreement(changed: dict[str, object], words: str | None) -> None:
    alike = Agreement(10, 0.9999, 1.0, 0.001, ("float32", "float32"))
    problem = replace(alike, **changed).problem  # type: ignore[arg-type]
    assert (problem is None) if words is None else words in str(problem)


def test_records_that_follow_one_another_lead_to_the_last(tmp_path: Path) -> None:
    log = ParityLog(ObjectStore.open(tmp_path))
    agreement = Agreement(1, 1.0, 1.0, 0.0, (None, None))
    for one, other in (("a", "b"), ("b", "c")):
        log.record(one, Parity(other, {}, "vllm", agreement, "now"))
    assert [found.same_as for name in "ab" if (found := log.find(name))] == ["c", "c"]
    assert log.find("c") is None
    (tmp_path / "parity" / "b.json").write_text("{")
    with pytest.raises(ObjectDamaged, match="measure again"):
        log.find("a")


def test_nothing_can_be_measured_before_there_are_chunks(tmp_path: Path, server: FaultyServer) -> None:
    workspace = made(tmp_path, served(server))
    environ = {"RAG_STORE": workspace.store, "RAG_CORPORA": str(workspace.path.parent)}
    result = CliRunner().invoke(app, ["parity", "handbook"], env=environ)
    assert result.exit_code == 1
    assert "no chunks yet" in result.output
    assert server.requests == []
