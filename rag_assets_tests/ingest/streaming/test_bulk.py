"""A new index of a large corpus is written by the machines of a cluster, and appears in one commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance
import polars as pl
import pytest

from rag_assets.errors import StoreUnavailable
from rag_assets.index import bulk, stage
from rag_assets.index.table import open_table
from rag_assets.ingest.streaming import cluster as cluster_module
from rag_assets.ingest.streaming.flow import from_arrow, to_arrow
from rag_assets_tests.ingest.streaming.corpora import aged, fill, on, pipeline, same, workspace
from rag_assets_tests.workspace import Workspace, document, run_stages

pytestmark = pytest.mark.xdist_group("ray")  # two clusters on one machine want one port
DOCUMENTS, BLOCK = 30, 8
SETTINGS: dict[str, Any] = {"index": {"filters": {"tenant": "string"}}}


@pytest.fixture
def corpus(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """One that counts as large."""
    monkeypatch.setattr(stage, "BULK_DOCUMENTS", DOCUMENTS)
    monkeypatch.setattr(bulk, "BLOCK", BLOCK)
    found = workspace(tmp_path, "ray", **SETTINGS)
    filled(found)
    return found


def filled(found: Workspace) -> None:
    fill(found, DOCUMENTS - 2)
    found.write("tenant.md", "---\ntenant: acme\n---\n# Of one tenant\n\nWith a field that is a column.\n")
    found.write("empty.md", "  \n")
    found.write("few.md", "# Few\n\nWords.\n")
    aged(found)


def appended(found: Workspace) -> list[int]:
    """Rows that each version of the table has more than the one before."""
    table = lance.dataset(f"{found.store}/index/{found.name}.lance")
    rows = [table.checkout_version(one["version"]).count_rows() for one in table.versions()]
    return [after - before for before, after in zip([0, *rows], rows, strict=False) if after != before]


@pytest.mark.slow
def test_the_index_is_the_one_that_a_single_machine_writes(corpus: Workspace, tmp_path: Path) -> None:
    run_stages(pipeline(corpus))
    local = workspace(tmp_path, "local", **SETTINGS)
    filled(local)
    run_stages(pipeline(local))
    same(local, corpus)
    assert appended(corpus) == [local.rows().height], "all rows in one commit"
    table = lance.dataset(f"{corpus.store}/index/{corpus.name}.lance")
    assert table.to_table(columns=["tenant"], filter="tenant = 'acme'").num_rows == 1
    order = [
        lance.dataset(f"{one.store}/index/{one.name}.lance").to_table(columns=["document_id"])["document_id"]
        for one in (local, corpus)
    ]
    assert order[0].to_pylist() == order[1].to_pylist()


@pytest.mark.slow
def test_a_load_that_dies_before_its_commit_leaves_readers_and_the_next_run_alone(
    corpus: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stages(pipeline(corpus))
    before = corpus.rows()
    corpus.configure(**on("ray", {**SETTINGS, "chunking": {"max_tokens": 64}}))  # a new index

    def dies(*arguments: Any, **more: Any) -> None:
        raise OSError("the line broke")

    with monkeypatch.context() as broken:
        broken.setattr(lance.LanceDataset, "commit", dies)
        with pytest.raises(StoreUnavailable, match="the line broke"):
            run_stages(pipeline(corpus))
    assert corpus.rows().equals(before)

    run_stages(pipeline(corpus))
    local = workspace(tmp_path, "local", **SETTINGS, chunking={"max_tokens": 64})
    filled(local)
    run_stages(pipeline(local))
    assert corpus.rows().equals(local.rows())


def test_fragments_are_written_to_s3_and_stand_in_the_order_of_the_documents(
    tmp_path: Path, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a cluster, whose machines would need the server's keys: what actors do is done here, last block first."""

    def backwards(settings: Any, actor: Any, arguments: Any, blocks: Any) -> Iterator[pl.DataFrame]:
        for block in reversed(blocks):
            yield from_arrow(actor(*arguments)(to_arrow(block)))

    monkeypatch.setattr(stage, "BULK_DOCUMENTS", 1)
    monkeypatch.setattr(bulk, "BLOCK", 2)
    monkeypatch.setattr(cluster_module, "spread", backwards)
    found = Workspace(tmp_path, s3_store_url)
    for number in range(5):
        found.write(f"{number}.md", document(number))
    stages, _ = found.pipeline()
    stages.documents()
    stages.chunks()
    stages.embeddings()
    found.configure(engine="ray")
    index, state = pipeline(found).candidate()
    assert state == "built"
    table = open_table(found.objects, found.name, at=index.version)
    assert table is not None
    documents = table.to_lance().to_table(columns=["document_id"])["document_id"].to_pylist()
    assert documents == sorted(documents)
    assert len(set(documents)) == 5
    assert len(documents) == index.chunks
