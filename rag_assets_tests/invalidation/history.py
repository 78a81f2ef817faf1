"""A store with real publications and erasures but no documents: what delivery reads, made in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from rag_assets.corpus import Corpus
from rag_assets.index.candidate import Spec
from rag_assets.index.table import connect
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.record import Publication
from rag_assets.store.erasures import Demand, ErasureLog
from rag_assets.store.objects import ObjectStore

NAME = "handbook"


def corpus_of(*targets: Mapping[str, Any], **fields: Any) -> Corpus:
    """A corpus file with these targets."""
    sources = [{"type": "folder", "path": "docs"}]
    group = {"targets": list(targets), **fields}
    return Corpus.model_validate({"name": NAME, "sources": sources, "invalidation": group})


def frame(changes: Mapping[str, str]) -> pl.DataFrame:
    """A change record: document → added, changed or removed."""
    return pl.DataFrame(
        {"document_id": list(changes), "change": list(changes.values())},
        schema={"document_id": pl.String(), "change": pl.String()},
    )


def difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, str]:
    """The change record between two states, each document → version of its content."""
    return {
        **{name: "added" for name in after if name not in before},
        **{name: "changed" for name in after if name in before and after[name] != before[name]},
        **{name: "removed" for name in before if name not in after},
    }


class History:
    """The publications and erasures of one corpus, and what each publication held."""

    def __init__(self, root: Path | str, candidate: str = "cand-test") -> None:
        self.candidate = candidate
        self.store = str(root)
        self.objects = ObjectStore.open(self.store)
        self.log = PublicationLog(self.objects, NAME)
        self.states: list[dict[str, int]] = [{}]
        connect(self.objects).create_table(NAME, data=pl.DataFrame({"x": [1]}).to_arrow())

    @property
    def head(self) -> int:
        return len(self.states) - 1

    @property
    def now(self) -> dict[str, int]:
        """What readers see."""
        return self.states[-1]

    def publish(self, state: Mapping[str, int], kind: str = "publish", **spec: str) -> int:
        """The next publication; returns its number."""
        fields = {name: name for name in ("snapshot", "chunker", "embedder", "table", "text", "vector")}
        publication = Publication(
            number=self.head + 1,
            version=1,
            candidate=self.candidate,
            kind=kind,  # type: ignore[arg-type]
            reason="test",
            time="",
            by="tests",
            snapshot=1,
            spec=Spec(**{**fields, **spec}),
            documents=len(state),
            chunks=len(state),
            report="",
        )
        self.log.claim(publication, frame(difference(self.now, state)))
        self.states.append(dict(state))
        return self.head

    def change(self, *documents: str) -> int:
        """A publication in which some documents are new or have new content."""
        return self.publish({**self.now, **{name: self.now.get(name, 0) + 1 for name in documents}})

    def remove(self, *documents: str) -> int:
        """A publication without some documents."""
        return self.publish({name: n for name, n in self.now.items() if name not in documents})

    def roll_back(self, to: int) -> int:
        """A publication of an earlier state."""
        return self.publish(self.states[to], kind="rollback")

    def erase(self, *documents: str, lifted: Sequence[str] = ()) -> None:
        """Marks of erasures."""
        demand = Demand("event", datetime(2026, 5, 4, tzinfo=UTC), 0)
        ErasureLog(self.objects, NAME).commit(dict.fromkeys(documents, demand), lifted)

    def forget_records(self, numbers: Iterable[int]) -> None:
        """Lose what is on record of old publications, as nothing of ours does."""
        self.log.drop(list(numbers))
        root = f"corpora/{NAME}/publications"
        names = [info.path for info in self.objects.list(root)]
        self.objects.delete(name for name in names for number in numbers if f"/{number:08d}-" in name)
