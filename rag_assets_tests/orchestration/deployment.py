"""Real runs: jobs started from the command line, as a scheduler would, on an instance in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster import DagsterEvent

from rag_assets_tests.stack import CHECKOUT
from rag_assets_tests.workspace import Workspace

MODULE = "rag_assets_tests.orchestration.slow_model"


@dataclass
class Deployment:
    """A folder with corpora, a store and an instance.

    Args:
        root: the folder.
        executor: where steps run.
        environ: more environment of runs.
    """

    root: Path
    executor: str = "in_process"
    environ: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        instance = yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())
        # Seconds instead of minutes until a crash is noticed.
        instance["run_monitoring"] |= {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 2}
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(instance))

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def store(self) -> str:
        return str(self.root / "store")

    @property
    def watch(self) -> Path:
        """What the model was asked for, batch by batch."""
        return self.root / "watch"

    @property
    def watched(self) -> list[str]:
        """What the environment says about the model."""
        return [name for name in self.everything if name.startswith("WATCH_")]

    @property
    def everything(self) -> dict[str, str]:
        """The whole environment of a process of this deployment."""
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONWARNINGS": "ignore",
            "RAG_STORE": self.store,
            "RAG_CORPORA": str(self.root / "corpora"),
            "RAG_EXECUTOR": self.executor,
            "WATCH_FILE": str(self.watch),
            **self.environ,
        }

    def corpus(self, name: str = "handbook", **settings: Any) -> Workspace:
        """A corpus of this deployment."""
        return Workspace(self.root, self.store, name, **settings)

    def run(self, job: str = "handbook_job") -> subprocess.CompletedProcess[str]:
        """Run a job to its end, each step where the executor puts it."""
        config: list[str] = []
        if self.executor == "ray":
            # The cluster has an environment of its own; our settings travel by themselves.
            (self.root / "run.yaml").write_text(
                yaml.safe_dump({"execution": {"config": {"ray": {"env_vars": self.watched}}}})
            )
            config = ["-c", str(self.root / "run.yaml")]
        return self.dagster("job", "execute", "-m", MODULE, "-j", job, *config)

    def dagster(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Dagster's command line."""
        return subprocess.run(
            [sys.executable, "-m", "dagster", *arguments],
            env=self.everything,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def instance(self) -> dg.DagsterInstance:
        """The instance that the runs are recorded in."""
        return dg.DagsterInstance.from_config(str(self.home))

    def events(self, run_id: str | None = None) -> list[tuple[float, DagsterEvent]]:
        """Events of a run with their time; without an id of the newest run."""
        with self.instance() as instance:
            run_id = run_id or instance.get_runs(limit=1)[0].run_id
            return [
                (entry.timestamp, entry.dagster_event)
                for entry in instance.all_logs(run_id)
                if entry.dagster_event is not None
            ]

    def batches(self) -> list[int]:
        """How many texts each batch of the model had."""
        return [int(line) for line in self.watch.read_text().splitlines()] if self.watch.exists() else []
