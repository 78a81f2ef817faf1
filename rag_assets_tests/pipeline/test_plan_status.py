"""``plan`` says what ``run`` then does and changes nothing; ``status`` needs nothing but the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag_assets.pipeline.plan import plan
from rag_assets.pipeline.status import history_entry, status
from rag_assets.publication.publish import rollback
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.workspace import Workspace, document, run_stages


def everything(url: str) -> dict[str, bytes]:
    objects = ObjectStore.open(url)
    return {info.path: objects.get(info.path) for info in objects.list("")}


def done(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """All stages; what each recorded."""
    pipeline, _ = workspace.pipeline(run_id)
    run_stages(pipeline)
    stages: dict[str, Any] = pipeline.runs.last()["stages"]
    return stages


def planned_equals_done(workspace: Workspace, run_id: str) -> dict[str, Any]:
    before = everything(workspace.store)
    planned = plan(workspace.objects, workspace.corpus)
    assert everything(workspace.store) == before, "byte for byte"
    stages = done(workspace, run_id)
    documents, embeddings = stages["documents"], stages["embeddings"]
    assert (planned.new, planned.changed, planned.moved, planned.deleted, planned.parse) == tuple(
        documents[name] for name in ("new", "changed", "moved", "deleted", "parsed")
    )
    assert planned.chunk == stages["chunks"]["chunked"]
    assert (planned.embed, planned.reuse) == (embeddings["embedded"], embeddings["reused"])
    assert planned.embed_tokens == embeddings["tokens"]
    assert planned.publish == stages["publication"]["published"]
    assert planned.quarantined == workspace.pipeline()[0].context.snapshots.latest().quarantined
    return {**planned.__dict__, "corpus": planned.corpus}


def test_a_plan_is_what_the_run_then_does(store_url: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, store_url, parsing={"max_quarantined_share": 1})
    for number in range(6):
        workspace.write(f"d{number}.md", document(number))
    workspace.write("empty.md", "")
    first = planned_equals_done(workspace, "1")
    assert (first["new"], first["embed"], first["reuse"], first["embed_seconds"]) == (7, 24, 0, None)
    assert first["quarantined"] == 1
    assert first["publish"] is True
    workspace.write("d0.md", document(0).replace("Paragraph 0-1.", "Paragraph, edited."))
    workspace.write("d7.md", document(7, 2))
    workspace.write("copy.md", document(1))
    (workspace.documents / "d2.md").unlink()
    (workspace.documents / "d3.md").rename(workspace.documents / "moved.md")
    second = planned_equals_done(workspace, "2")
    assert (second["new"], second["changed"], second["moved"], second["deleted"]) == (2, 1, 1, 1)
    assert second["embed"] == 3
    assert second["embed_seconds"] is not None, "estimated from the first run"
    third = planned_equals_done(workspace, "3")
    assert (third["new"], third["chunk"], third["embed"], third["publish"]) == (0, 0, 0, False)


def test_a_plan_follows_the_settings(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(4):
        workspace.write(f"d{number}.md", document(number))
    done(workspace, "1")
    workspace.configure(chunking={"max_tokens": 64})
    smaller = planned_equals_done(workspace, "2")
    assert smaller["chunk"] == 4
    assert smaller["embed"] > 16
    workspace.configure(chunking={"max_tokens": 64}, embedder={"type": "static", "document_prefix": "p: "})
    other_model = planned_equals_done(workspace, "3")
    assert other_model["reuse"] == 0
    assert other_model["embed_seconds"] is None, "this model has not run yet"


def test_a_plan_prices_what_is_to_be_embedded_and_sizes_the_table(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("a.md", document(1))
    model = str(workspace.pipeline()[0].context.embedder.about["model"])
    prices = {"currency": "EUR", "models": {model: {"input_per_million": 2.0, "per_hour": 36.0}}}
    workspace.configure(evaluation={"prices": prices})
    unknown = plan(workspace.objects, workspace.corpus)
    assert (unknown.embed_seconds, unknown.embed_cost, unknown.vector_bytes) == (None, None, None)
    fast = plan(workspace.objects, workspace.corpus, tokens_per_second=10.0)
    assert fast.embed_seconds == round(fast.embed_tokens / 10, 1)
    assert fast.embed_cost == pytest.approx(fast.embed_tokens * 2e-6 + fast.embed_tokens / 10 * 0.01)
    workspace.run()
    workspace.write("b.md", document(2))
    more = plan(workspace.objects, workspace.corpus)
    assert more.vector_bytes == more.embed * 256 * 4
    workspace.configure()
    none = plan(workspace.objects, workspace.corpus)
    assert (none.embed_cost, none.unpriced) == (None, None)
    misnamed = {"models": {"another": {"per_hour": 36.0}}}
    workspace.configure(evaluation={"prices": misnamed})
    assert plan(workspace.objects, workspace.corpus).unpriced == model
    workspace.run()
    nothing = plan(workspace.objects, workspace.corpus)
    assert (nothing.embed, nothing.embed_seconds) == (0, 0.0)


def test_a_plan_knows_what_was_taken_back(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("a.md", document(1))
    done(workspace, "1")
    workspace.write("a.md", document(2))
    done(workspace, "2")
    rollback(workspace.objects, workspace.name, 1, reason="", by="ana")
    assert plan(workspace.objects, workspace.corpus).publish is False


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("status")
    workspace = Workspace(root, str(root / "store"))
    workspace.write("a.md", document(1))
    workspace.run()
    return workspace


def test_status_before_the_first_run_is_empty_and_whole(tmp_path: Path, published: Workspace) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    state = status(workspace.objects, workspace.corpus)
    assert state.keys() == status(published.objects, published.corpus).keys()
    assert (state["publication"], state["documents"], state["chunks"], state["last_run"]) == (
        None,
        0,
        0,
        None,
    )


def test_status_says_what_readers_see_and_what_the_last_run_did(published: Workspace) -> None:
    state = status(published.objects, published.corpus)
    assert state["corpus"] == "handbook"
    assert (state["publication"], state["snapshot"], state["documents"], state["chunks"]) == (1, 1, 1, 4)
    assert state["embedder"].startswith("wordllama")
    assert state["report"].endswith("report.html")
    assert published.objects.get(state["report"]).startswith(b"<!")
    last = state["last_run"]
    assert last.keys() == {"documents_changed", "embedded_texts", "reused_texts", "seconds"}
    assert (last["documents_changed"], last["embedded_texts"], last["reused_texts"]) == (1, 4, 0)
    assert last["seconds"] > 0


def test_history_tells_each_publication(published: Workspace) -> None:
    (publication,) = published.pipeline()[0].log.history()
    entry = history_entry(publication)
    assert {"publication", "lance_version", "time", "reason", "kind", "metrics"} <= entry.keys()
    assert (entry["publication"], entry["kind"], entry["changes"]) == (1, "publish", {"added": 1})
