"""One corpus on one machine: what the stages of ingest share, and what a copy of it shares with them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from rag_assets.errors import ModelError
from rag_assets.ingest.context import IngestContext
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets_tests.workspace import CountingEmbedder, Workspace, run_stages


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, str(tmp_path / "store"))


def context(workspace: Workspace) -> IngestContext:
    return IngestContext(workspace.objects, workspace.corpus)


def test_a_fresh_context_sees_what_was_written_since_and_shares_embedder_and_chunker(
    workspace: Workspace,
) -> None:
    workspace.write("a.md", "# A\n\nOne text.\n")
    before = context(workspace)
    keys = pl.Series(["unknown"])
    assert before.chunks.missing(keys).len() == 1  # has looked, and remembers what it saw
    run_stages(workspace.pipeline()[0])
    known = before.snapshots.readable(before.snapshots.latest())["text_key"]
    fresh = before.fresh()
    assert before.chunks.missing(known).len() == 1
    assert fresh.chunks.missing(known).is_empty()
    assert fresh.embedder is before.embedder
    assert fresh.chunker is before.chunker
    before.refresh()
    assert before.chunks.missing(known).is_empty()


def test_an_embedder_that_is_given_takes_the_place_of_the_corpus_files(workspace: Workspace) -> None:
    own = CountingEmbedder(open_embedder(workspace.corpus.embedder))
    assert IngestContext(workspace.objects, workspace.corpus, own).embedder is own


def test_a_model_that_cannot_be_found_is_told_when_the_embedder_is_asked_for(workspace: Workspace) -> None:
    workspace.configure(embedder={"type": "static", "model": str(workspace.documents / "nowhere")})
    found = context(workspace)
    assert found.snapshots.latest().number == 0
    with pytest.raises(ModelError):
        _ = found.embedder
