"""Dagster's default run launcher, which also notices that a run's process is gone.

The code server reports runs whose process it saw die. When the server itself is killed (its
container, its machine) nobody reports them: Dagster then shows them as started for ever, and
everything that waits for them waits too. Run monitoring asks launchers whether a run is alive,
and the default one cannot tell; this one asks the server that started the run. Of a run of the
command line it looks whether its process lives.

In ``dagster.yaml``: ``run_launcher: {module: rag_assets.orchestration.launcher, class: WatchfulRunLauncher}``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

from rag_assets.orchestration.command_runs import Watch, describe, is_command_run

SILENT_CHECKS = 3
"""Checks in a row without an answer after which the server counts as gone: one may be busy for a moment."""


class WatchfulRunLauncher(DefaultRunLauncher):
    """Runs as processes of the code server, watched."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._silent: Counter[str] = Counter()
        self._watch = Watch()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> WatchfulRunLauncher:
        """As Dagster makes it from dagster.yaml."""
        return cls(inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Makes run monitoring ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the server that started the run, or the command that it is of, still executes it."""
        if is_command_run(run):
            if self._watch.is_dead(run):
                return CheckRunHealthResult(WorkerStatus.FAILED, f"the process of {describe(run)} is gone")
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:  # ended meanwhile
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        try:
            reply = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=10)
        except DagsterUserCodeUnreachableError:
            self._silent[run.run_id] += 1
            if self._silent[run.run_id] < SILENT_CHECKS:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            return CheckRunHealthResult(WorkerStatus.FAILED, "the code server that executed the run is gone")
        del self._silent[run.run_id]
        if deserialize_value(reply, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "the code server knows of no such run: its process is gone"
        )
