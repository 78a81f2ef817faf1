"""A corpus with a store of its own, run through the real command line in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.process import Finished, run
from rag_assets.corpus import Corpus, load_corpus
from rag_assets.index.table import open_table
from rag_assets.pipeline.pipeline import Pipeline
from rag_assets.pipeline.runs import RunRecords
from rag_assets.store.objects import ObjectStore

NAME = "benchmark"
COMMAND = ("-c", "from rag_assets.cli import main; main()")
STAGES = ("documents", "chunks", "embeddings", "candidate", "evaluation", "publication")


@dataclass(frozen=True, slots=True)
class Run:
    """One ``rag-assets run``.

    Attributes:
        seconds: wall time, process start included.
        peak_bytes: memory of the process and its children.
        stages: facts of each stage, ``seconds`` among them.
        outcome: what ``--json`` printed.
    """

    seconds: float
    peak_bytes: int
    stages: Mapping[str, Mapping[str, Any]]
    outcome: Mapping[str, Any]

    @property
    def stage_seconds(self) -> dict[str, float]:
        """Seconds of each stage, and what is left: interpreter, imports, Dagster."""
        found = {name: float(self.stages.get(name, {}).get("seconds", 0.0)) for name in STAGES}
        return {**found, "start": self.seconds - sum(found.values())}


class Project:
    """Documents in a folder, a corpus file, a store.

    Args:
        root: empty folder for corpus file and store.
        documents: folder with the documents.
        include: globs of the documents.
        settings: sections of the corpus file.
    """

    def __init__(
        self, root: Path, documents: Path, include: Sequence[str] = ("**/*.md",), **settings: Any
    ) -> None:
        self.root = root
        self.documents = documents
        self.store = root / "store"
        path = root / "corpora" / f"{NAME}.yaml"
        path.parent.mkdir(parents=True)
        source = {"type": "folder", "path": str(documents), "include": [*include]}
        path.write_text(yaml.safe_dump({"sources": [source], **settings}))
        self._path = path

    def run(self) -> Run:
        """``rag-assets run``; a run that is refused or fails is an error."""
        finished = self.command("run", NAME, "--json")
        objects = ObjectStore.open(self.store)
        return Run(
            finished.seconds,
            finished.peak_bytes,
            RunRecords(objects, NAME).last()["stages"],
            json.loads(finished.output),
        )

    def command(self, *arguments: str) -> Finished:
        """Any ``rag-assets`` command."""
        extra = {"RAG_STORE": str(self.store), "RAG_CORPORA": str(self._path.parent)}
        return run([*COMMAND, *arguments], extra)

    @property
    def corpus(self) -> Corpus:
        """The corpus file."""
        return load_corpus(self._path)

    def pipeline(self) -> Pipeline:
        """The stages in this process, for what the command line does not show."""
        return Pipeline(ObjectStore.open(self.store), self.corpus, run_id="benchmark")

    def report(self) -> Mapping[str, Any]:
        """The evaluation report of what is published."""
        head = self.pipeline().log.head()
        assert head is not None, "nothing is published"
        found: dict[str, Any] = json.loads(ObjectStore.open(self.store).get(f"{head.report}/report.json"))
        return found

    def lance_versions(self) -> int:
        """Versions that the table has had so far."""
        table = open_table(ObjectStore.open(self.store), NAME)
        assert table is not None, "there is no table"
        return int(table.version)

    def bytes_below(self, prefix: str) -> int:
        """Bytes of all objects below a prefix of the store."""
        return sum(info.size for info in ObjectStore.open(self.store).list(prefix))
