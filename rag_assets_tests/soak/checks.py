"""What must hold after each step, read from the store as readers, people and operators would read it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from rag_assets.corpus import Embedder, load_corpus
from rag_assets.index.lance_files import read_tags
from rag_assets.index.table import connect
from rag_assets.ingest.embedding.open import open_embedder
from rag_assets.pipeline.status import history_entry, status
from rag_assets.publication.log import PublicationLog
from rag_assets.publication.reader import PublishedIndex, open_published
from rag_assets.publication.record import LOST
from rag_assets.store.objects import ObjectStore
from rag_assets_tests.soak.model import EMBEDDERS, SHARD, Published, Settings, State
from rag_assets_tests.soak.readers import digest_of, seen_in
from rag_assets_tests.soak.world import CORPUS


class Checker:
    """Holds the store against the model."""

    def __init__(self, store: str, corpus_file: Path) -> None:
        self._store = store
        self.objects = ObjectStore.open(store)
        self._corpus_file = corpus_file
        self._ids: dict[tuple[str, str, int], str] = {}
        self._reader: PublishedIndex | None = None
        self._embedders: dict[str, Any] = {}
        self.may_lag = False
        """True after a kill: the process may have died before it moved the tag ``published``."""
        self.changes_are_known = True
        """False once snapshots were lost: then a publication may count every document as changed."""

    @property
    def log(self) -> PublicationLog:
        """The publication log in the store."""
        return PublicationLog(self.objects, CORPUS)

    def reopen(self) -> None:
        """Read with a new reader from now on."""
        self._reader = None

    def everything(self, state: State, refused: bool | None, chance: Random) -> bool:
        """All of it, when nothing runs.

        Args:
            state: of the model.
            refused: whether a refused version stands; None when that is not known.
            chance: draws what is searched for.

        Returns:
            whether the tag ``published`` lags, since who published was killed before it moved the tag.
        """
        head = state.head
        assert head is not None
        lags = self.tags(state)
        self.rows(head)
        self.history(state)
        self.status(head, refused, lags=lags)
        self.search(head, chance)
        return lags

    def tags(self, state: State) -> bool:
        """The retained publications are those of the model. Returns whether ``published`` is one behind."""
        tags = read_tags(self.objects, CORPUS)
        numbers = {int(name[4:]): version for name, version in tags.items() if name.startswith("pub-")}
        assert numbers.keys() == state.retained, (
            f"retained: {sorted(numbers)}, expected {sorted(state.retained)}"
        )
        newest, *older = sorted(numbers, reverse=True)
        if tags.get("published") == numbers[newest]:
            return False
        assert self.may_lag and older and tags.get("published") == numbers[older[0]], (
            f"the tag published is at {tags.get('published')}, the newest publication at {numbers[newest]}"
        )
        return True

    def rows(self, head: Published) -> None:
        """Readers see exactly the rows of the newest publication, each with its own vector, all indexed."""
        if self._reader is None:
            self._reader = open_published(CORPUS, self._store)
        self._reader.refresh()
        assert self._reader.publication.number == head.number
        found = self._reader.table().to_lance().to_table()
        assert seen_in(found) == digest_of(row.seen for row in head.spec.rows), difference(found, head)
        expected = {(row.document_id, row.position): row for row in head.spec.rows}
        rows = found.to_pylist()
        texts = [expected[(row["document_id"], row["position"])].embedded for row in rows]
        vectors = self._embedder(head).embed(texts, [1] * len(texts))
        np.testing.assert_allclose(np.array([row["vector"] for row in rows]), vectors, atol=1e-6)
        self._same_ids(rows, texts)
        table = connect(self.objects).open_table(CORPUS)
        table.checkout(f"pub-{head.number:08d}")
        for index in table.list_indices():
            stats = table.index_stats(index.name)
            assert stats is not None and stats.num_unindexed_rows == 0, f"{index.name}: {stats}"

    def history(self, state: State) -> None:
        """Every publication is on record, with its kind, reason and changes."""
        found = [history_entry(one) for one in self.log.history()]
        says = [(one["publication"], one["kind"], one["reason"]) for one in found]
        expected = [(one.number, one.kind, one.reason) for one in state.on_record]
        assert says == expected, f"history: {says[-3:]}, expected {expected[-3:]}"
        for entry, one in zip(found, state.on_record, strict=True):
            allowed = [one.changes] if self.changes_are_known else [one.changes, one.changes_at_most]
            assert entry["changes"] in allowed, f"history: {entry}, expected {allowed}"

    def status(self, head: Published, refused: bool | None, *, lags: bool) -> None:
        """``status`` says what readers see, and what was refused."""
        found = status(self.objects, load_corpus(self._corpus_file))
        says = (found["publication"], found["kind"], found["documents"], found["chunks"])
        expected = (head.number, head.kind, len(head.spec.documents), len(head.spec.rows))
        known = 2 if head.reason == LOST else 4
        assert says[:known] == expected[:known], f"status: {says}, expected {expected}"
        assert (found["tag_problem"] is not None) == lags, f"status: {found['tag_problem']}"
        assert refused in (None, found["refused"] is not None), f"status: refused is {found['refused']}"

    def search(self, head: Published, chance: Random) -> None:
        """A passage is found by its own words."""
        assert self._reader is not None
        row = chance.choice(sorted(head.spec.rows, key=lambda one: one.seen))
        words = row.text.split("\n\n")[-1]
        for mode in ("hybrid", "text", "vector"):
            hits = self._reader.search(words, 5, mode)
            assert any(words in hit.text for hit in hits), f"{mode} search does not find {row.document_id}"

    def _embedder(self, head: Published) -> Any:
        name = head.spec.embedder
        if name not in self._embedders:
            self._embedders[name] = embedder_of(name)
        return self._embedders[name]

    def _same_ids(self, rows: list[dict[str, Any]], texts: list[str]) -> None:
        """A chunk keeps its id as long as its document has its text, wherever it stands."""
        ordered = sorted(
            zip(rows, texts, strict=True), key=lambda one: (one[0]["document_id"], one[0]["position"])
        )
        seen: Counter[tuple[str, str]] = Counter()
        for row, text in ordered:
            key = (row["document_id"], text)
            known = self._ids.setdefault((*key, seen[key]), row["chunk_id"])
            assert known == row["chunk_id"], f"{row['document_id']}: chunk {row['position']} has another id"
            seen[key] += 1
        assert len({row["chunk_id"] for row in rows}) == len(rows), "two rows have one id"


class Embedded:
    """The texts that all processes embedded together: each once under each model, but for what a crash may cost."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self._known: set[tuple[str, str]] = set()
        self._at_risk: Counter[tuple[str, str]] = Counter()
        self._names = {embedder_of(name).fingerprint: name for name in EMBEDDERS}
        self.texts = self.repeated = 0

    def take(self, *, killed: bool = False, together: int = 1) -> dict[str, Counter[str]]:
        """Read what was embedded since the last call.

        Args:
            killed: the process died: the last shard may have to be made again.
            together: processes at work at once: neither knows what the other one is making.

        Returns:
            texts by embedder.
        """
        lines = self._log.read_text().splitlines()[self._read :] if self._log.exists() else []
        self._read += len(lines)
        found: dict[str, Counter[str]] = {}
        order: list[tuple[str, str]] = []
        for line in map(json.loads, lines):
            name = self._names[line["embedder"]]
            order += [(name, text) for text in line["texts"]]
        counted = Counter(order)
        for key, count in counted.items():
            again = count - (key not in self._known)
            allowed = self._at_risk[key] + together - 1
            assert again <= allowed, f"embedded {again} times too often under {key[0]!r}: {key[1][:60]!r}"
            self.repeated += again
            self._at_risk[key] = max(0, self._at_risk[key] - again)
            found.setdefault(key[0], Counter())[key[1]] = count
        self._known |= counted.keys()
        self.texts += len(order)
        if killed:
            self._at_risk.update(dict.fromkeys(order[-SHARD * together :], 1))
        return found

    def at_risk(self, embedder: str, texts: frozenset[str]) -> int:
        """How many of some texts may have to be embedded again, since the process that did so died."""
        return sum(self._at_risk[(embedder, text)] > 0 for text in texts)

    def missing(self, embedder: str, texts: frozenset[str]) -> set[str]:
        """Texts that were never embedded under a model."""
        return {text for text in texts if (embedder, text) not in self._known}

    def lost(self, embedder: str | None = None) -> None:
        """Vectors were damaged: each may have to be made again, once."""
        self._at_risk.update({key: 1 for key in self._known if embedder in (None, key[0])})


def embedder_of(name: str) -> Any:
    """The embedder of a model's variant."""
    settings = Settings(embedder=name).embedder_settings
    return open_embedder(Embedder.model_validate(settings))


def difference(found: Any, head: Published) -> str:
    """What readers see against what they must see."""
    seen: Mapping[tuple[str, int], str] = {
        (row["document_id"], row["position"]): row["text"] for row in found.to_pylist()
    }
    expected = {(row.document_id, row.position): row.text for row in head.spec.rows}
    missing, extra = expected.keys() - seen.keys(), seen.keys() - expected.keys()
    other = [key for key in expected.keys() & seen.keys() if expected[key] != seen[key]]
    return f"missing {sorted(missing)[:5]}, extra {sorted(extra)[:5]}, different {sorted(other)[:5]}"
