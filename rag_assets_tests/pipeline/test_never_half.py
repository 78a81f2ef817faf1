"""Promise 2: readers of the published version see exactly its rows until it moves, in one step."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rag_assets import open_published
from rag_assets.errors import GateRefused
from rag_assets.index.table import connect
from rag_assets.publication.publish import rollback
from rag_assets_tests.workspace import Workspace, document, paragraphs

if TYPE_CHECKING:
    from lancedb.table import Table


def digest_of(rows: list[tuple[str, str]]) -> int:
    return hash(tuple(sorted(rows)))


class Watcher(threading.Thread):
    """Reads everything that is published, again and again, as a service and as a plain LanceDB client."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(daemon=True)
        self._workspace = workspace
        self._stop_asked = threading.Event()
        self.seen: list[int] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            reader = open_published(self._workspace.name, self._workspace.store)
            while not self._stop_asked.is_set():
                reader.refresh()
                self._look(reader.table().to_lance().to_table(columns=["chunk_id", "text"]).to_pylist())
                plain = connect(self._workspace.objects).open_table(self._workspace.name)
                self._pin(plain)
                self._look(plain.to_arrow().select(["chunk_id", "text"]).to_pylist())
        except BaseException as error:  # shown by stop()
            self.error = error

    @staticmethod
    def _pin(plain: Table) -> None:
        """As docs/reading.md tells a client without our code: a tag caught in motion is read again."""
        for attempt in range(10):
            try:
                plain.checkout("published")
                return
            except (RuntimeError, ValueError, OSError) as error:
                if "refs.rs" not in str(error) or attempt == 9:
                    raise

    def _look(self, rows: list[dict[str, str]]) -> None:
        found = digest_of([(row["chunk_id"], row["text"]) for row in rows])
        if not self.seen or self.seen[-1] != found:
            self.seen.append(found)

    def wait_for(self, expected: int) -> None:
        """Give the reader the time to see a publication before the next one is made."""
        deadline = time.monotonic() + 60
        while expected not in self.seen and self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self) -> list[int]:
        self._stop_asked.set()
        self.join(60)
        if self.error is not None:
            raise self.error
        return self.seen


def published(workspace: Workspace) -> int:
    rows = workspace.rows(vectors=False)
    return digest_of(list(zip(rows["chunk_id"], rows["text"], strict=True)))


def test_a_polling_reader_sees_only_complete_publications(store_url: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, store_url)
    for number in range(20):
        workspace.write(f"d{number}.md", document(number))
    workspace.run()
    complete = {published(workspace)}
    watcher = Watcher(workspace)
    watcher.start()

    def step() -> None:
        workspace.run()
        complete.add(published(workspace))
        watcher.wait_for(published(workspace))

    path = workspace.documents / "d1.md"
    path.write_text(path.read_text().replace(paragraphs(4, 1)[0], "Edited."))
    step()
    path.rename(workspace.documents / "renamed.md")
    step()
    shutil.copy(workspace.documents / "d2.md", workspace.documents / "copy.md")
    step()
    (workspace.documents / "d3.md").unlink()
    step()
    workspace.configure(chunking={"max_tokens": 80})
    step()
    workspace.configure(embedder={"type": "static", "document_prefix": "passage: "})
    step()
    rollback(workspace.objects, workspace.name, 2, reason="test", by="tests")
    complete.add(published(workspace))
    watcher.wait_for(published(workspace))
    assert set(watcher.stop()) == complete


def test_a_refused_candidate_is_seen_by_nobody(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(10):
        workspace.write(f"d{number}.md", document(number))
    gold = tmp_path / "corpora" / "gold.jsonl"
    question = paragraphs(4, 3)[1][:120]
    gold.write_text(json.dumps({"question": question, "passages": [question]}) + "\n")
    settings = {"evaluation": {"gold": "gold.jsonl"}, "gate": {"rules": [{"metric": "recall@5", "min": 1.0}]}}
    workspace.configure(**settings)
    workspace.run()
    before, head = published(workspace), workspace.pipeline()[0].log.head()
    (workspace.documents / "d3.md").unlink()
    for _ in range(2):
        with pytest.raises(GateRefused, match=r"(?i)recall@5.* is 0\.000, 1\.000 below the required 1\.000"):
            workspace.run()
        assert published(workspace) == before
        assert workspace.pipeline()[0].log.head() == head
    workspace.write("d3.md", document(3))
    workspace.run()
    assert published(workspace) == before, "what the refused run left is not in the next version"


def test_a_pinned_reader_stays_until_it_is_told_to_move(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    workspace.write("a.md", "# Penguins\n\nPenguins swim in cold water.")
    workspace.run()
    pinned = open_published("handbook", workspace.store)
    polling = open_published("handbook", workspace.store, poll_seconds=0)
    workspace.write("a.md", "# Penguins\n\nPenguins eat fish every day.")
    workspace.run()
    assert "swim" in pinned.search("penguins", 1)[0].text
    assert "fish" in polling.search("penguins", 1)[0].text
    assert pinned.refresh()
    assert "fish" in pinned.search("penguins", 1)[0].text
    assert not pinned.refresh()
