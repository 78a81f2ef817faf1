"""Steps in processes of their own: these are spawned, and those that want a GPU take turns.

Annotations here are read by Dagster, so they must not be postponed.
"""

import json
import time
from pathlib import Path

import dagster as dg

from rag_assets.orchestration.executors import open_executor
from rag_assets.orchestration.gpu import GPU_TAG

HOLD_SECONDS = 1.0


@dg.op(tags={GPU_TAG: "true"}, out=dg.Out(dg.Nothing), config_schema={"folder": str})
def hold_the_gpu(context: dg.OpExecutionContext) -> None:
    """Say how this process was started, and from when to when it held the GPU."""
    command = Path("/proc/self/cmdline").read_text()
    began = time.time()
    time.sleep(HOLD_SECONDS)
    said = {"command": command, "began": began, "ended": time.time()}
    (Path(context.op_config["folder"]) / context.op_handle.name).write_text(json.dumps(said))


@dg.job(executor_def=open_executor("multiprocess"))
def two_steps() -> None:
    """Two steps with a GPU that do not depend on each other."""
    hold_the_gpu.alias("one")()
    hold_the_gpu.alias("other")()


def test_processes_are_spawned_and_two_gpu_steps_of_a_run_never_overlap(tmp_path: Path) -> None:
    settings = {"ops": {name: {"config": {"folder": str(tmp_path)}} for name in ("one", "other")}}
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = dg.execute_job(
            dg.reconstructable(two_steps),
            instance=instance,
            run_config={
                **settings,
                "execution": {"config": {"max_concurrent": 2}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
        assert result.success
    first, second = sorted(
        (json.loads((tmp_path / name).read_text()) for name in ("one", "other")),
        key=lambda said: said["began"],
    )
    assert first["ended"] <= second["began"]
    # A forked child of a process with the threads of lance, polars and torch hangs or crashes.
    assert "spawn_main" in first["command"]
