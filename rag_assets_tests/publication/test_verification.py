"""What verification finds: rows of the index that are not what the stores demand, whatever their size and number."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from rag_assets.cli import app
from rag_assets.errors import NotPublished, VerificationFailed
from rag_assets.publication import verification
from rag_assets.publication.publish import rollback
from rag_assets.publication.record import Publication
from rag_assets.publication.verification import is_due, last_verification, verify_published
from rag_assets.store.files import parquet_bytes
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.workspace import Workspace, document

WORDS = ("Paragraph 3-0.", "Paragraph X-0.")


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Workspace:
    """Six documents, published once."""
    found = Workspace(tmp_path, store_url)
    for number in range(6):
        found.write(f"d{number}.md", document(number, 2))
    found.run()
    return found


def damage(workspace: Workspace, word: str = WORDS[0]) -> None:
    """Change a word in the data files of the index: pages that decode, and say something else."""
    objects = workspace.objects
    for path in [info.path for info in objects.list(f"index/{workspace.name}.lance/data")]:
        data = objects.get(path)
        if word.encode() in data:
            objects.put(path, data.replace(word.encode(), word.replace("3", "X").encode()))


def head(workspace: Workspace) -> Publication:
    found = workspace.pipeline()[0].log.head()
    assert found is not None
    return found


def texts(workspace: Workspace) -> str:
    return " ".join(workspace.rows()["text"])


def rewrite(objects: ObjectStore, folder: str, column: str) -> None:
    """Have the Parquet files of a folder say something else in a text column: damage that decodes."""
    for path in [info.path for info in objects.list(folder) if info.path.endswith(".parquet")]:
        rows = pl.read_parquet(objects.get(path))
        changed = pl.col(column).list.eval(pl.element().str.replace(*WORDS, literal=True))
        objects.put(path, parquet_bytes(rows.with_columns(changed)))


def test_a_text_that_was_damaged_in_the_store_of_chunks_is_made_anew_and_never_published(
    workspace: Workspace,
) -> None:
    rewrite(workspace.objects, "content/chunks", "text")
    workspace.write("d0.md", document(10, 2))
    workspace.run()
    assert WORDS[0] in texts(workspace) and WORDS[1] not in texts(workspace)
    workspace.configure(index={"filters": {"tenant": "string"}})
    rewrite(workspace.objects, "content/chunks", "text")
    workspace.run()
    assert WORDS[0] in texts(workspace) and WORDS[1] not in texts(workspace)


@pytest.mark.parametrize("full_verify_rows", [0, 1000])
def test_a_damaged_page_is_not_carried_into_a_new_version(
    workspace: Workspace, full_verify_rows: int
) -> None:
    damage(workspace)
    assert WORDS[1] in texts(workspace)
    workspace.write("d0.md", document(10, 2))
    workspace.run(full_verify_rows=full_verify_rows)
    assert WORDS[0] in texts(workspace) and WORDS[1] not in texts(workspace)
    now = head(workspace)
    assert (now.number, dict(now.changes)) == (2, {"changed": 6}), "caches may hold what was damaged"
    assert "1 with other content" in now.facts["damage"]
    report = json.loads(workspace.objects.get(f"{now.report}/report.json"))
    assert any("is damaged" in warning for warning in report["warnings"])
    workspace.write("d0.md", document(11, 2))
    workspace.run(full_verify_rows=full_verify_rows)
    assert (head(workspace).number, dict(head(workspace).changes)) == (3, {"changed": 1})


@pytest.mark.parametrize("full_verify_rows", [0, 1000])
@pytest.mark.parametrize("how", ["cut off", "emptied", "zeros", "deleted"])
def test_a_data_file_that_cannot_be_read_is_not_carried_either(
    tmp_path: Path, full_verify_rows: int, how: str
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(6):
        workspace.write(f"d{number}.md", document(number, 2))
    workspace.run()
    for path in (Path(workspace.store) / "index" / f"{workspace.name}.lance" / "data").iterdir():
        data = path.read_bytes()
        path.write_bytes({"cut off": data[:-100], "zeros": bytes(len(data))}.get(how, b""))
        if how == "deleted":
            path.unlink()
    workspace.write("d0.md", document(10, 2))
    workspace.run(full_verify_rows=full_verify_rows)
    assert head(workspace).number == 2
    assert verify_published(workspace.objects, workspace.name).problem is None


def test_a_large_table_is_not_read_for_a_small_change_where_its_files_are_the_verified_ones(
    tmp_path: Path,
) -> None:
    """Damage that the store itself does not tell is found by the full verification, not by the next change."""
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(24):
        workspace.write(f"d{number}.md", document(number, 2))
    workspace.run()
    folder = Path(workspace.store) / "index" / f"{workspace.name}.lance" / "data"
    for path in folder.iterdir():
        was = path.stat()
        path.write_bytes(path.read_bytes().replace(WORDS[0].encode(), WORDS[1].encode()))
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    workspace.write("d0.md", document(30, 2))
    workspace.run(full_verify_rows=0)
    assert WORDS[1] in texts(workspace)
    found = verify_published(workspace.objects, workspace.name)
    assert found.problem is not None and "e.g. of 'd3.md'" in found.problem


def test_damage_of_what_is_published_is_found_and_the_next_run_publishes_what_the_stores_hold(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_CORPORA", str(workspace.path.parent))
    monkeypatch.setenv("RAG_STORE", workspace.store)
    good = CliRunner().invoke(app, ["verify", workspace.name])
    assert (good.exit_code, "12 rows of 6 documents compared" in good.stdout) == (0, True)
    damage(workspace)
    bad = CliRunner().invoke(app, ["verify", workspace.name])
    assert bad.exit_code == 1
    assert "publication 1 is damaged" in bad.stderr and "e.g. of 'd3.md'" in bad.stderr
    assert f"rag-assets run {workspace.name} writes the index anew" in bad.stderr
    found = json.loads(CliRunner().invoke(app, ["verify", workspace.name, "--json"]).stdout)
    assert (found["publication"], found["rows"], found["documents"], found["uncompared"]) == (1, 0, 0, 0)
    assert "1 with other content" in found["problem"]
    assert "publication 1 is damaged" in CliRunner().invoke(app, ["status", workspace.name]).stdout
    assert workspace.run() == [], "nothing is embedded again"
    now = head(workspace)
    assert (now.number, now.spec, dict(now.changes)) == (2, now.spec, {"changed": 6})
    assert WORDS[0] in texts(workspace) and WORDS[1] not in texts(workspace)
    workspace.run()
    assert head(workspace) == now
    assert CliRunner().invoke(app, ["verify", workspace.name]).exit_code == 0


def test_a_rollback_that_holds_is_not_undone_by_damage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(6):
        workspace.write(f"d{number}.md", document(number, 2))
    workspace.run()
    workspace.write("d0.md", document(10, 2))
    workspace.run()
    rollback(workspace.objects, workspace.name, None, reason="wrong figures", by="ana")
    damage(workspace)
    assert verify_published(workspace.objects, workspace.name).problem is not None
    with pytest.raises(VerificationFailed, match=r"publication 3 .*rag-assets rollback handbook --to N"):
        workspace.run()
    workspace.write("d0.md", document(11, 2))
    workspace.run()
    assert WORDS[0] in texts(workspace) and WORDS[1] not in texts(workspace)


def test_a_publication_whose_snapshot_was_lost_cannot_be_compared_and_the_next_run_helps(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(6):
        workspace.write(f"d{number}.md", document(number, 2))
    workspace.run()
    workspace.write("d0.md", document(10, 2))
    workspace.run()
    workspace.objects.delete([f"corpora/{workspace.name}/snapshots/00000002.json"])
    workspace.write("d0.md", document(10, 2) + "\nMore.")
    pipeline, _ = workspace.pipeline()
    pipeline.documents()
    found = verify_published(workspace.objects, workspace.name)
    assert found.problem is not None and "the record of its snapshot 2 was lost" in found.problem
    workspace.run()
    assert verify_published(workspace.objects, workspace.name).problem is None


def test_documents_whose_chunks_were_lost_are_left_out_and_counted(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("d0.md", document(0, 2))
    workspace.run()
    shards = set((Path(workspace.store) / "content" / "chunks").rglob("shards/*.parquet"))
    for number in range(1, 4):
        workspace.write(f"d{number}.md", document(number, 2))
    workspace.run()
    for path in shards:
        path.unlink()
    found = verify_published(workspace.objects, workspace.name)
    assert (found.documents, found.uncompared, found.rows, found.problem) == (3, 1, 6, None)
    rewrite(workspace.objects, "content/chunks", "text")
    found = verify_published(workspace.objects, workspace.name)
    assert (found.documents, found.uncompared, found.problem) == (2, 2, None), "its chunks were damaged"


def test_verification_needs_what_a_publication_was_built_with_and_not_the_corpus_file(tmp_path: Path) -> None:
    workspace = Workspace(
        tmp_path, str(tmp_path / "store"), index={"filters": {"tenant": "string", "year": "integer"}}
    )
    workspace.write("d0.md", document(0, 2))
    workspace.run()
    workspace.configure(chunking={"max_tokens": 16}, embedder={"type": "static", "document_prefix": "x: "})
    found = verify_published(workspace.objects, workspace.name)
    assert (found.rows, found.problem) == (2, None)


def test_nothing_is_verified_before_the_first_publication(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    assert not is_due(workspace.objects, workspace.name, 0)
    with pytest.raises(NotPublished, match="nothing to verify"):
        verify_published(workspace.objects, workspace.name)


def test_a_verification_is_due_days_after_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("d0.md", document(0, 2))
    workspace.run()

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=8)

    def due(days: float) -> bool:
        return is_due(workspace.objects, workspace.name, days)

    assert (due(0), due(7)) == (True, False), "it was verified when it was built"
    with monkeypatch.context() as patch:
        patch.setattr(verification, "datetime", Later)
        assert due(7)
        verify_published(workspace.objects, workspace.name)
        assert not due(7)
    workspace.objects.put(f"corpora/{workspace.name}/verification.json", b"{")
    assert last_verification(workspace.objects, workspace.name) is None
