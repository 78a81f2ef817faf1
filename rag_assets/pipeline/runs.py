"""What runs did, kept in the store: ``status`` must not depend on Dagster's database.

Each run has a record of its own, ``corpora/<name>/runs/<run_id>.json``; ``last_run.json`` is a copy
of the one that was written last. All of this is statistics: what is damaged counts as missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    from rag_assets.evaluation.answers.asking import AskCounts
    from rag_assets.ingest.embedding.stage import EmbeddingCounts
    from rag_assets.ingest.streaming import Ahead

KEPT_RUNS = 50


Counts = TypeVar("Counts", "AskCounts", "EmbeddingCounts")


class _Made(TypedDict):
    """What a stream made ahead, as far as ``summary`` reads it."""

    embedded: int
    poisoned: int


class _Facts(TypedDict, total=False):
    """Facts of a stage, as far as ``summary`` and sensors read them."""

    new: int
    changed: int
    moved: int
    deleted: int
    embedded: int
    reused: int
    seconds: float
    snapshot: int
    state: str
    passed: bool
    ahead: _Made


_STAGES = TypeAdapter(dict[str, _Facts])


class RunRecords:
    """Facts of the runs of one corpus by stage, and measured throughput."""

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._objects = objects
        self._runs = f"corpora/{corpus}/runs"
        self._last = f"corpora/{corpus}/last_run.json"
        self._throughput = "throughput.json"  # of all corpora: a model is as fast for one as for another

    def record(self, run_id: str, stage: str, facts: Mapping[str, Any]) -> None:
        """Add a stage's facts to a run; a new run id starts a new record, and the oldest ones go."""
        record = self.of(run_id)
        if not record:
            self._drop_old()
            record = {"run_id": run_id, "started": _now(), "stages": {}}
        record["stages"][stage] = dict(facts)
        record["ended"] = _now()
        data = json.dumps(record, indent=2).encode()
        self._objects.put(self._path(run_id), data)
        self._objects.put(self._last, data)

    @contextmanager
    def stage(self, run_id: str, stage: str) -> Iterator[dict[str, Any]]:
        """Facts for the stage to fill in: recorded with the ``seconds`` that it took, unless it fails."""
        started, facts = time.perf_counter(), dict[str, Any]()
        yield facts
        facts["seconds"] = time.perf_counter() - started
        self.record(run_id, stage, facts)

    def stages(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Facts of the stages that a run has come to, by stage."""
        found: dict[str, dict[str, Any]] = self.of(run_id).get("stages", {})
        return found

    def of(self, run_id: str) -> dict[str, Any]:
        """One run: run_id, started, ended, stages; empty when there is no record of it."""
        return self._read_run(self._path(run_id))

    def last(self) -> dict[str, Any]:
        """The run that recorded something last, like ``of``; empty before the first."""
        return self._read_run(self._last)

    def evaluated(self) -> dict[str, Any]:
        """What the newest run that came to the evaluation recorded of it; empty when none did."""
        last = _evaluation(self.last())
        if last:
            return last
        found: list[tuple[str, datetime, dict[str, Any]]] = []
        for info in self._objects.list(self._runs):
            record = self._read_run(info.path)
            if _evaluation(record):
                found.append((str(record.get("ended")), info.modified, record))
        # Of two that ended in one second, the one that was written later.
        newest = max(found, key=itemgetter(0, 1), default=None)
        return {} if newest is None else _evaluation(newest[2])

    def measured(self, embedder: str, tokens: int, seconds: float, *, cold: bool = False) -> None:
        """Remember how fast an embedder was, for ``plan``.

        Args:
            embedder: its fingerprint.
            tokens: that it embedded.
            seconds: that it took for that.
            cold: whether a model was loaded meanwhile, or a cluster started; better than nothing, and no more.
        """
        record = self._read(self._throughput)
        if cold and embedder in record:
            return
        record[embedder] = {"tokens": tokens, "seconds": seconds, "measured": _now()}
        self._objects.put(self._throughput, json.dumps(record, indent=2).encode())

    def streamed(self, embedder: str, made: Ahead) -> None:
        """Remember how fast a stream embedded."""
        if made.warm_tokens:
            self.measured(embedder, made.warm_tokens, made.warm_seconds)
        elif made.tokens:  # a cluster started, and parsed and chunked in the same time
            self.measured(embedder, made.tokens, made.seconds, cold=True)

    def embedded(self, embedder: str, counts: EmbeddingCounts, seconds: float) -> None:
        """Remember how fast an embedder was in a stage that took so many seconds."""
        if counts.warm_tokens:
            self.measured(embedder, counts.warm_tokens, counts.warm_seconds)
        elif counts.tokens:
            self.measured(embedder, counts.tokens, seconds, cold=True)

    def tokens_per_second(self, embedder: str) -> float | None:
        """Measured throughput of an embedder (by fingerprint), or None if it never ran."""
        match self._read(self._throughput).get(embedder):
            case {"tokens": int(tokens), "seconds": int() | float() as seconds}:
                return tokens / max(seconds, 1e-3)
        return None

    def _path(self, run_id: str) -> str:
        return f"{self._runs}/{run_id}.json"

    def _read_run(self, path: str) -> dict[str, Any]:
        found = self._read(path)
        try:
            _STAGES.validate_python(found.get("stages"))
        except ValidationError:
            return {}
        return found

    def _read(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self._objects.find(path) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _drop_old(self) -> None:
        newest_first = sorted(self._objects.list(self._runs), key=lambda info: info.modified, reverse=True)
        self._objects.delete(info.path for info in newest_first[KEPT_RUNS - 1 :])


def _evaluation(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a run recorded of its evaluation; empty when it did not come to it."""
    found = record.get("stages", {}).get("evaluation")
    return found if isinstance(found, dict) else {}


def summary(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The ``last_run`` object of ``status``: documents_changed, embedded_texts, reused_texts, seconds."""
    documents, embeddings = stages.get("documents", {}), stages.get("embeddings", {})
    ahead = [stage["ahead"] for stage in stages.values() if "ahead" in stage]  # by a stream
    embedded = sum(made["embedded"] for made in ahead)
    made = embedded + sum(made["poisoned"] for made in ahead)
    return {
        "documents_changed": sum(documents.get(name, 0) for name in ("new", "changed", "moved", "deleted")),
        "embedded_texts": embeddings.get("embedded", 0) + embedded,
        "reused_texts": max(0, embeddings.get("reused", 0) - made),
        "seconds": round(sum(stage.get("seconds", 0.0) for stage in stages.values()), 3),
    }


def recorded(counts: type[Counts], facts: Mapping[str, Any]) -> Counts:
    """Counts that a stage recorded, as far as its facts have them: a record is statistics, and may lack some."""
    return counts(**{one.name: facts[one.name] for one in fields(counts) if one.name in facts})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
