"""Promise 1: work is keyed by content and fingerprint. 40 documents, a counter around the real embedder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets.store.objects import ObjectStore
from rag_assets_tests.workspace import Workspace, document, paragraphs

DOCUMENTS = 40


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """40 documents, published."""
    found = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(DOCUMENTS):
        found.write(f"d{number:02d}.md", document(number))
    assert len(found.run()) == DOCUMENTS * 4
    return found


def edit(workspace: Workspace, name: str, old: str, new: str) -> None:
    path = workspace.documents / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_edited_paragraph_embeds_one_text(workspace: Workspace) -> None:
    edit(workspace, "d07.md", paragraphs(4, 7)[2], paragraphs(4, 1007)[2])
    before = set(workspace.rows()["chunk_id"])
    assert len(workspace.run()) == 1
    assert len(set(workspace.rows()["chunk_id"]) - before) == 1, "no other chunk has a new id"
    assert workspace.last_run()["embedded_texts"] == 1
    assert workspace.last_run()["documents_changed"] == 1


def test_a_rename_embeds_nothing(workspace: Workspace) -> None:
    (workspace.documents / "d03.md").rename(workspace.documents / "renamed.md")
    pipeline, _ = workspace.pipeline()
    _, counts, _ = pipeline.documents()
    assert (counts.moved, counts.new, counts.deleted, counts.parsed) == (1, 0, 0, 0)
    assert workspace.run() == []
    ids = set(workspace.rows()["document_id"])
    assert "renamed.md" in ids
    assert "d03.md" not in ids


def test_a_copy_embeds_nothing(workspace: Workspace) -> None:
    shutil.copy(workspace.documents / "d03.md", workspace.documents / "copy.md")
    assert workspace.run() == []
    rows = workspace.rows()
    assert rows.filter(rows["document_id"] == "copy.md").height == 4


def test_a_revert_embeds_nothing(workspace: Workspace) -> None:
    original = (workspace.documents / "d03.md").read_text()
    edit(workspace, "d03.md", paragraphs(4, 3)[1], "Something else entirely.")
    assert len(workspace.run()) == 1
    workspace.write("d03.md", original)
    assert workspace.run() == []


def test_a_second_run_does_nothing(workspace: Workspace) -> None:
    publication = workspace.pipeline()[0].log.head()
    assert workspace.run() == []
    assert workspace.pipeline()[0].log.head() == publication


def test_touching_every_file_does_nothing(workspace: Workspace) -> None:
    for path in workspace.documents.iterdir():
        path.touch()
    publication = workspace.pipeline()[0].log.head()
    assert workspace.run() == []
    assert workspace.pipeline()[0].log.head() == publication


def test_a_second_corpus_with_the_same_text_embeds_nothing(workspace: Workspace, tmp_path: Path) -> None:
    second = Workspace(tmp_path, workspace.store, name="second")
    shutil.copytree(workspace.documents, second.documents, dirs_exist_ok=True)
    assert second.run() == []
    assert second.rows().height == workspace.rows().height


def test_a_deleted_shard_index_embeds_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_assets.store.content.UNINDEXED_SHARDS", 1)
    edit(workspace, "d07.md", paragraphs(4, 7)[2], "A new paragraph.")
    assert len(workspace.run()) == 1
    objects = ObjectStore.open(workspace.store)
    indexes = [info.path for info in objects.list("content") if "/index" in info.path]
    assert any("embeddings" in path for path in indexes)
    objects.delete(indexes)
    shutil.rmtree(Path(workspace.store) / "corpora")
    shutil.rmtree(Path(workspace.store) / "index")
    assert workspace.run() == [], "even a rebuilt corpus finds its vectors"


def test_edited_front_matter_embeds_nothing_and_is_published(workspace: Workspace) -> None:
    edit(workspace, "d05.md", "title: Document 5", "title: Another title")
    assert workspace.run() == []
    rows = workspace.rows()
    assert set(rows.filter(rows["document_id"] == "d05.md")["title"]) == {"Another title"}


def test_another_chunk_size_embeds_only_texts_never_seen(workspace: Workspace) -> None:
    seen = set(workspace.rows(vectors=False)["text"])
    workspace.configure(chunking={"max_tokens": 100})
    embedded = workspace.run()
    assert embedded
    assert len(set(embedded)) == len(embedded)
    assert not seen & {text.split("\n\n", 1)[-1] for text in embedded}
    workspace.configure()
    assert workspace.run() == [], "the first size is still there"


def test_another_model_embeds_everything_once_and_queries_see_one_model(workspace: Workspace) -> None:
    workspace.configure(embedder={"type": "static", "normalize": False, "document_prefix": "passage: "})
    assert len(workspace.run()) == DOCUMENTS * 4
    assert workspace.run() == []
    workspace.configure()
    assert workspace.run() == [], "going back to the first model costs nothing"


def test_another_dimension_rebuilds_the_table_in_its_lineage(workspace: Workspace) -> None:
    publication = workspace.pipeline()[0].log.head()
    assert publication is not None
    workspace.configure(embedder={"precision": "float32"})
    assert len(workspace.run()) == workspace.rows().height
    assert len(workspace.rows()["vector"][0]) == 384
    pipeline, _ = workspace.pipeline()
    assert pipeline.log.find(publication.number).version == publication.version


def test_a_poison_text_is_quarantined_and_its_neighbours_go_on(workspace: Workspace) -> None:
    sections = ("fine", "POISON " * 120, "ok " * 120)
    workspace.write("bad.md", "# Bad\n\n" + "\n\n".join(f"## {part[:4]}\n\n{part}" for part in sections))
    workspace.run(poison="POISON")
    rows = workspace.rows()
    bad = rows.filter(rows["document_id"] == "bad.md")
    assert bad.height >= 1
    assert not any("POISON" in text for text in bad["text"])
    head = workspace.pipeline()[0].log.head()
    assert head is not None
    assert head.facts["poisoned"] == 1
    assert workspace.run(poison="POISON") == []


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["edit", "rename", "copy", "delete", "revert", "touch"]),
            st.integers(0, 5),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_history_embeds_each_text_once_and_equals_a_build_from_scratch(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int, int]]
) -> None:
    root = tmp_path_factory.mktemp("history")
    workspace = Workspace(
        root, str(root / "store"), chunking={"max_tokens": 64}, parsing={"max_quarantined_share": 1}
    )
    originals = {f"d{number}.md": document(number, 2) for number in range(4)}
    for name, text in originals.items():
        workspace.write(name, text)
    seen = workspace.run()
    for verb, first, second in history:
        names = sorted(path.name for path in workspace.documents.iterdir())
        path = workspace.documents / names[first % len(names)]
        match verb:
            case "edit":
                path.write_text(path.read_text() + f"\n\nAddition {first} {second}.\n")
            case "rename":
                path.rename(path.with_name(f"r{second}.md"))
            case "copy":
                shutil.copy(path, path.with_name(f"c{second}.md"))
            case "delete" if len(names) > 1:
                path.unlink()
            case "revert" if path.name in originals:
                path.write_text(originals[path.name])
            case _:
                path.touch()
        seen += workspace.run()
    assert len(seen) == len(set(seen)), "a text was embedded twice"
    scratch = Workspace(
        root, str(root / "scratch"), chunking={"max_tokens": 64}, parsing={"max_quarantined_share": 1}
    )
    scratch.run()
    assert workspace.rows().equals(scratch.rows())
