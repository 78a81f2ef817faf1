"""What verification finds: rows of the index that are not what the stores demand, whatever their size and number."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

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


def rewrite(objects: ObjectStore, folder: str, column: str) -> None:
    """Have the Parquet files of a folder say something else in a text column: damage that decodes."""
    for path in [info.path for info in objects.list(folder) if info.path.endswith(".parquet")]:
        rows = pl.read_parquet(objects.get(path))
        texts = pl.col(column).list.eval(pl.element().str.replace(*WORDS, literal=True))
        objects.put(path, parquet_bytes(rows.with_columns(texts)))


def test_a_text_that_was_damaged_in_the_store_of_chunks_is_made_anew_and_never_published(
    workspace: Workspace,
) -> None:
    rewrite(workspace.objects, "content/chunks", "text")
    workspace.write("d0.md", document(10, 2))
    workspace.run()
    texts = " ".join(workspace.rows()["text"])
    assert WORDS[0] in texts and WORDS[1] not in texts
    workspace.configure(index={"filters": {"tenant": "string"}})
    rewrite(workspace.objects, "content/chunks", "text")
    workspace.run()
    texts = " ".join(workspace.rows()["text"])
    assert WORDS[0] in texts and WORDS[1] not in texts
