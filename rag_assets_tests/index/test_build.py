"""Building candidates: an update equals a rebuild, indexes follow, odd documents do no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag_assets.errors import DataError
from rag_assets.index.schema import METADATA_KEY, read_metadata
from rag_assets.index.table import IndexUnavailable, open_table
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.index.conftest import DOCUMENTS
from rag_assets_tests.workspace import Workspace, document

LOW = {
    "index": {"vector": {"min_rows": 256}},
    "parsing": {"max_quarantined_share": 1},
    "chunking": {"max_tokens": 32},
}


def test_every_document_with_text_is_in_the_table_and_one_without_is_not(published: Workspace) -> None:
    rows = published.rows(vectors=False)
    head = published.pipeline()[0].log.head()
    assert head is not None
    assert set(rows["document_id"]) == set(DOCUMENTS) - {"front.md"}
    assert rows.filter(rows["document_id"] == "twice.md").height == rows["chunk_id"].n_unique() - 7
    assert head.chunks == rows.height


def test_equal_chunks_of_one_document_have_their_own_ids(published: Workspace) -> None:
    rows = published.rows(vectors=False)
    twice = rows.filter(rows["document_id"] == "twice.md").sort("position")
    assert twice["chunk_id"].n_unique() == twice.height
    assert twice["position"].to_list() == list(range(twice.height))


def test_values_of_another_type_are_null_in_a_filter_column(published: Workspace) -> None:
    table = open_table(published.objects, published.name)
    assert table is not None
    rows = {row["document_id"]: row for row in table.to_lance().to_table().to_pylist()}
    assert rows["it's a 'quoted' \"name\".md"]["year"] is None
    assert rows["owls.md"]["labels"] == ["bird"]
    assert rows["owls.md"]["price"] == 2.0
    assert rows["twice.md"]["tenant"] is None


def test_the_table_says_how_to_search_it(published: Workspace) -> None:
    table = open_table(published.objects, published.name)
    assert table is not None
    assert json.loads(table.schema.metadata[METADATA_KEY])["corpus"] == "handbook"
    metadata = read_metadata(table.schema)
    assert metadata["distance"] == "cosine"
    assert metadata["embedder"]["type"] == "static"
    assert metadata["model"]["files"]


def test_there_is_no_table_before_the_first_run(tmp_path: Path) -> None:
    objects = ObjectStore.open(tmp_path)
    assert open_table(objects, "handbook") is None


def test_an_unknown_tag_is_named(published: Workspace) -> None:
    with pytest.raises(IndexUnavailable, match="open the index of 'handbook' at pub-00000099"):
        open_table(published.objects, published.name, at="pub-00000099")


def test_a_corpus_without_text_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), parsing={"max_quarantined_share": 1})
    workspace.write("front.md", "---\ntitle: only front matter\n---\n")
    with pytest.raises(DataError, match=r"no document has a chunk|no readable document"):
        workspace.run()


def test_updates_with_quoted_ids_equal_a_rebuild(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), **LOW)
    names = [
        "o'brien.md",
        'say "hi".md',
        "a;b--c.md",
        "100%_sure.md",
        "ünï.md",
        "plain.md",
        "more.md",
        "other.md",
    ]
    for number, name in enumerate(names):
        workspace.write(name, document(number, 2))
    workspace.run()
    workspace.write("o'brien.md", document(50, 2))
    (workspace.documents / 'say "hi".md').unlink()
    (workspace.documents / "a;b--c.md").rename(workspace.documents / "a'b.md")
    workspace.run()
    scratch = Workspace(tmp_path, str(tmp_path / "scratch"), **LOW)
    scratch.run()
    assert workspace.rows().equals(scratch.rows())
    ids = set(workspace.rows()["document_id"])
    assert 'say "hi".md' not in ids
    assert "a'b.md" in ids


def facts(workspace: Workspace) -> dict[str, Any]:
    head = workspace.pipeline()[0].log.head()
    assert head is not None
    return dict(head.facts)


def test_a_large_table_gets_a_vector_index_with_its_recall_on_record(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"), **LOW)
    for number in range(40):
        workspace.write(f"d{number}.md", document(number, 8))
    workspace.run()
    first = facts(workspace)
    assert first["rows"] >= 256
    assert "vector_idx" in first["indexes"]
    assert first["trained_rows"] == first["rows"]
    assert first["vector_recall@10"] >= 0.95
    workspace.write("d1.md", document(100, 8))
    (workspace.documents / "d2.md").unlink()
    workspace.run()
    second = facts(workspace)
    assert second["trained_rows"] == first["rows"], "folded in, not trained anew"
    assert second["vector_recall@10"] >= 0.95
    workspace.configure(**{**LOW, "index": {"vector": {"type": "none"}}})
    assert workspace.run() == []
    assert "vector_idx" not in facts(workspace)["indexes"]
    assert facts(workspace)["vector_recall@10"] is None


def test_a_number_too_large_for_its_column_is_null_and_stops_nothing(tmp_path: Path) -> None:
    filters = {"year": "integer", "n": "number"}
    workspace = Workspace(tmp_path, str(tmp_path / "store"), index={"filters": filters})
    workspace.write("huge.md", f"---\nyear: {'9' * 20}\nn: {'9' * 400}\n---\n# Huge\n\nA document.")
    workspace.run()
    table = open_table(workspace.objects, workspace.name)
    assert table is not None
    assert table.to_lance().to_table(columns=["year", "n"]).to_pylist() == [{"year": None, "n": None}]
