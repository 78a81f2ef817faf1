"""Two publishers at once: one wins or both do, and who loses is told to run again, in words of this package."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from rag_assets.errors import PublicationConflict, SnapshotConflict, VerificationFailed
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets_tests.workspace import Workspace, document

ROUNDS = 5
FOREIGN = re.compile(r"Lance|\.rs:|/home/|Traceback|conflict", re.IGNORECASE)


@pytest.mark.parametrize("together_from", ["documents", "candidate"])
def test_who_loses_a_duel_is_told_to_run_again(tmp_path: Path, together_from: str) -> None:
    workspace = Workspace(tmp_path, str(tmp_path / "store"))
    for number in range(6):
        workspace.write(f"d{number}.md", document(number, 2))
    workspace.run()
    losers: list[BaseException] = []
    for seed in range(ROUNDS):
        workspace.write("d0.md", document(100 + seed, 2))
        duelists = [workspace.pipeline(f"{seed}{name}")[0] for name in "ab"]
        if together_from == "candidate":
            prepare(duelists[0])
        losers += fight(duelists, prepared=together_from == "candidate")
    for error in losers:
        assert isinstance(error, PublicationConflict | SnapshotConflict | VerificationFailed), repr(error)
        assert "run again" in str(error)
        assert not FOREIGN.search(str(error)), error
    workspace.run()
    clean = Workspace(tmp_path, str(tmp_path / "clean-store"))
    clean.run()
    assert workspace.rows().equals(clean.rows())


def prepare(pipeline: Pipeline) -> None:
    """All that comes before the index."""
    pipeline.documents()
    pipeline.chunks()
    pipeline.embeddings()


def fight(duelists: list[Pipeline], *, prepared: bool) -> list[BaseException]:
    """Let both run to the end at the same time. Returns how those ended that failed."""
    start, errors = threading.Barrier(len(duelists)), list[BaseException]()

    def run(pipeline: Pipeline) -> None:
        start.wait()
        try:
            if not prepared:
                prepare(pipeline)
            pipeline.candidate()
            pipeline.evaluate()
            pipeline.publish(reason="duel", by="tests")
        except Exception as error:  # what leaves the error family: the test names it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(pipeline,)) for pipeline in duelists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
