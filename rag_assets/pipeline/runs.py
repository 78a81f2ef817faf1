"""What the last run did, kept in the store: ``status`` must not depend on Dagster's database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rag_assets.store.objects import ObjectStore


class RunRecords:
    """Facts of the last run of each stage, and measured throughput, of one corpus."""

    def __init__(self, objects: ObjectStore, corpus: str) -> None:
        self._objects = objects
        self._last = f"corpora/{corpus}/last_run.json"
        self._throughput = "throughput.json"  # of all corpora: a model is as fast for one as for another

    def record(self, run_id: str, stage: str, facts: Mapping[str, Any]) -> None:
        """Add a stage's facts to a run; a new run id starts a new record."""
        record = self.last()
        if record.get("run_id") != run_id:
            record = {"run_id": run_id, "started": _now(), "stages": {}}
        record["stages"][stage] = dict(facts)
        record["ended"] = _now()
        self._objects.put(self._last, json.dumps(record, indent=2).encode())

    def last(self) -> dict[str, Any]:
        """The last run: run_id, started, ended, stages; empty before the first."""
        found: dict[str, Any] = json.loads(self._objects.find(self._last) or b"{}")
        return found

    def measured(self, embedder: str, tokens: int, seconds: float) -> None:
        """Remember how fast an embedder was, for ``plan``."""
        record = json.loads(self._objects.find(self._throughput) or b"{}")
        record[embedder] = {"tokens": tokens, "seconds": seconds, "measured": _now()}
        self._objects.put(self._throughput, json.dumps(record, indent=2).encode())

    def tokens_per_second(self, embedder: str) -> float | None:
        """Measured throughput of an embedder (by fingerprint), or None if it never ran."""
        found = json.loads(self._objects.find(self._throughput) or b"{}").get(embedder)
        return None if found is None else found["tokens"] / max(found["seconds"], 1e-3)


def summary(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The ``last_run`` object of ``status``: documents_changed, embedded_texts, reused_texts, seconds."""
    documents, embeddings = stages.get("documents", {}), stages.get("embeddings", {})
    return {
        "documents_changed": sum(documents.get(name, 0) for name in ("new", "changed", "moved", "deleted")),
        "embedded_texts": embeddings.get("embedded", 0),
        "reused_texts": embeddings.get("reused", 0),
        "seconds": round(sum(stage.get("seconds", 0.0) for stage in stages.values()), 3),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
