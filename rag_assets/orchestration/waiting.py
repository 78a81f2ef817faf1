"""The executor of the command line: steps in this process, and a wait for pool slots that a person can follow.

Dagster's own in-process executor waits for a slot without an end, without a word, at full load of a core and without
looking at signals. This one says who holds the slot and how long it waits at most, frees slots of commands that were
killed, and gives up at its limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster import DagsterEvent, DagsterRun
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.execute_plan import inner_plan_execution_iterator
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._utils.interrupts import check_captured_interrupt

from rag_assets.errors import PoolBusy
from rag_assets.orchestration.command_runs import Watch, bury, describe
from rag_assets.orchestration.home import one_at_a_time
from rag_assets.orchestration.interruption import Interruption

LOOK_SECONDS = 0.5
SETTLING_SECONDS = 10.0
"""Until a slot that was freed is given to the next one."""
WHOLE_RUN = "whole_run"
"""Stands for a step where a slot is held by the run from its first step to its last."""


@dataclass(frozen=True)
class Patience:
    """How a command waits for what others hold.

    Attributes:
        seconds: for one slot, at most; 0 does not wait.
        tell: shows a line to the person who waits.
    """

    seconds: float
    tell: Callable[[str], None]


def patient_executor(
    pool: str, patience: Patience, interruption: Interruption | None
) -> dg.ExecutorDefinition:
    """Runs steps one after the other in this process.

    Args:
        pool: a run holds its slot from before the first step until after the last.
        patience: how it waits for this slot and for those of its steps.
        interruption: whether the process was told to end: the run then counts as cancelled, not as failed.
    """

    @dg.executor(name="command_line")
    def executor(_: dg.InitExecutorContext) -> Executor:
        return _PatientExecutor(pool, patience, interruption)

    return executor


class _PatientExecutor(Executor):
    def __init__(self, pool: str, patience: Patience, interruption: Interruption | None) -> None:
        self._pool = pool
        self._patience = patience
        self._interruption = interruption

    @property
    def retries(self) -> RetryMode:
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[DagsterEvent]:
        def steps(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
            with _Claims(job_context.instance, job_context.dagster_run, self._patience) as claims:
                claims.claim(self._pool, WHOLE_RUN)
                yield from inner_plan_execution_iterator(job_context, execution_plan, claims)

        try:
            yield from ExecuteRunWithPlanIterable(
                execution_plan=execution_plan,
                iterator=steps,
                execution_context_manager=PlanExecutionContextManager(
                    job=plan_context.job,
                    retry_mode=self.retries,
                    execution_plan=execution_plan,
                    run_config=plan_context.run_config,
                    dagster_run=plan_context.dagster_run,
                    instance=plan_context.instance,
                    raise_on_error=plan_context.raise_on_error,
                    output_capture=plan_context.output_capture,
                    step_dependency_config=self.step_dependency_config,
                ),
            )
        finally:
            if self._interruption is not None and self._interruption.signal is not None:
                plan_context.instance.report_run_canceling(plan_context.dagster_run)


class _Claims(InstanceConcurrencyContext):
    """Claims of one run. A claim is granted when it returns."""

    def __init__(self, instance: dg.DagsterInstance, run: DagsterRun, patience: Patience) -> None:
        super().__init__(instance, run)
        self._storage = instance.event_log_storage
        self._patience = patience
        self._home = Path(instance.root_directory)
        self._watch = Watch()

    def claim(self, concurrency_key: str, step_key: str, step_priority: int = 0) -> bool:
        """Claim a slot of a pool, and wait for it.

        Raises:
            PoolBusy: others held it for longer than the patience of this command.
        """
        started, told = time.monotonic(), ""
        while not self._claim(concurrency_key, step_key, step_priority):
            if check_captured_interrupt():
                raise DagsterExecutionInterruptedError("interrupted while waiting for a slot")
            holders = self._holders(concurrency_key, step_key)
            patience = self._patience.seconds if holders else self._patience.seconds + SETTLING_SECONDS
            if time.monotonic() - started >= patience:
                raise PoolBusy(
                    f"the pool {concurrency_key} is held by {holders or 'no run, and gives no slot'}, and this command "
                    f"waits for it for {self._patience.seconds:g} seconds at most (--wait): run again when that has "
                    "ended; a slot that is left over is freed in Dagster's UI, under Deployment → Concurrency"
                )
            if holders and holders != told:
                told = holders
                self._patience.tell(
                    f"waiting for the pool {concurrency_key}, held by {holders}; "
                    f"for {self._patience.seconds:g} seconds at most (--wait)"
                )
            time.sleep(LOOK_SECONDS)
            self._pending_timeouts[step_key] = 0.0  # Dagster would look more and more rarely
        return True

    def _claim(self, pool: str, step: str, priority: int) -> bool:
        with one_at_a_time(self._home):
            return super().claim(pool, step, priority)

    def _holders(self, pool: str, step: str) -> str:
        """Name the runs that hold a pool, after freeing the slots of those that were killed. Empty: a slot is free."""
        info = self._storage.get_concurrency_info(pool)
        holding = {slot.run_id for slot in info.claimed_slots}
        holding |= {one.run_id for one in info.pending_steps if one.assigned_timestamp is not None}
        waiting = {one.run_id for one in info.pending_steps}
        found: dict[str, str] = {}
        for run_id in sorted((holding | waiting) - {self._run_id}):
            run = self._instance.get_run_by_id(run_id)
            if run is not None and self._watch.is_dead(run):
                bury(self._instance, run)
            elif run_id in holding:
                found[run_id] = (
                    f"run {run_id[:8]}, of which Dagster has no record" if run is None else describe(run)
                )
        if not info.slot_count:
            return "no run (its limit is 0)"
        if not found and self._run_id not in holding:
            # A slot is free and no run was given it: its holder was killed on the way, or freed it while this run
            # queued up.
            self._storage.free_concurrency_slot_for_step(self._run_id, step)
        return " and ".join(found.values())
