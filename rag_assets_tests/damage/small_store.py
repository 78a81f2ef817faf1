"""A small store with every kind of object: folder and pushed documents, an erasure, answers, quality, a target."""

from __future__ import annotations

import copy
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rag_assets.events.inbox import Change, Inbox
from rag_assets.events.inbox.event import Kind
from rag_assets.ingest.embedding.parity import Agreement, Parity, ParityLog
from rag_assets.invalidation.deliver import deliver
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.record import Publication
from rag_assets.store import content
from rag_assets_tests.workspace import Workspace, document, run_stages

ENVIRONMENT = {"HOOK_SECRET": "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cyE="}
"""Without which no target can be told."""
LONG_AGO = 1_600_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)


class SmallStore:
    """A corpus of six documents, one of them pushed and one erased, and its store."""

    def __init__(self, root: Path, hook: str) -> None:
        folder = {"type": "folder", "path": str(root / "handbook-documents"), "prefix": "folder/"}
        self.workspace = Workspace(
            root,
            str(root / "store"),
            sources=[folder, {"type": "push", "prefix": "cms/"}],
            events={"watch": {}},
            parsing={"workers": 1},
            evaluation={"gold": "gold.jsonl", "answers": {"contexts": 2}},
            quality={},
            invalidation={
                "targets": [
                    {"name": "hook", "type": "webhook", "url": hook, "secret_variable": "HOOK_SECRET"}
                ]
            },
        )
        gold = [
            {
                "id": f"q{number}",
                "question": f"What is in section {number}.1?",
                "documents": [f"folder/d{number}.md"],
            }
            for number in range(3)
        ]
        (self.workspace.path.parent / "gold.jsonl").write_text(
            "".join(json.dumps(one) + "\n" for one in gold)
        )

    @property
    def folder(self) -> Path:
        """Of the store."""
        return Path(self.workspace.store)

    def copied(self, to: Path) -> SmallStore:
        """The same corpus on a copy of the store."""
        found = copy.copy(self)
        found.workspace = copy.copy(self.workspace)
        found.workspace.store = str(to)
        shutil.copytree(self.folder, to)
        return found

    def write(self, name: str, seed: int) -> None:
        """A document that is old enough not to be read again for its age."""
        self.workspace.write(name, document(seed, 2))
        os.utime(self.workspace.documents / name, (LONG_AGO, LONG_AGO))

    def announce(self, name: str, kind: Kind, minute: int, text: str | None = None) -> None:
        """An event for the inbox."""
        moment = START + timedelta(minutes=minute)
        data = None if text is None else text.encode()
        self.inbox().accept("handbook", [Change(f"e{minute}", name, kind, moment, "test", data)])

    def inbox(self) -> Inbox:
        """The events of the store."""
        return Inbox.open(f"sqlite:///{self.folder}/inbox.sqlite")

    def history(self) -> list[Publication]:
        """The publications that are retained."""
        return PublicationLog(self.workspace.objects, "handbook").retained()

    def run(self, run_id: str = "run") -> None:
        """All stages, quality and targets included, as the assets call them."""
        objects, corpus = self.workspace.objects, self.workspace.corpus
        pipeline = Pipeline(objects, corpus, run_id=run_id, inbox=self.inbox())
        run_stages(pipeline)
        deliver(objects, corpus)


def build(root: Path, hook: str) -> SmallStore:
    """Three publications, and a record of each kind."""
    made = SmallStore(root, hook)
    for number in range(5):
        made.write(f"d{number}.md", number)
    made.announce("cms/x.md", "created", 1, document(7, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "UNINDEXED_SHARDS", 2)  # as in a store that has seen many runs
        made.run("first")
        made.announce("folder/d4.md", "erase", 2)
        made.run("second")
        made.write("d1.md", 11)
        made.run("third")
    pipeline = Pipeline(made.workspace.objects, made.workspace.corpus, run_id="parity")
    own = pipeline.context.embedder
    agreement = Agreement(1, 1.0, 1.0, 0.0, (None, None))
    record = Parity(own.fingerprint, own.about, "static", agreement, START.isoformat())
    ParityLog(made.workspace.objects).record(own.fingerprint, record)
    made.run("fourth")
    return made
