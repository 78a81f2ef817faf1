"""Where the steps of a run are executed: ``RAG_EXECUTOR`` → an executor of Dagster, or of one of its libraries.

What an executor needs beyond that (image, namespace, address of a cluster) it takes from its own standard
places: ``dagster.yaml``, its environment, or the run's configuration. See docs/executors.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg

from rag_assets.errors import ConfigurationError, install
from rag_assets.orchestration.gpu import GPU_TAG

VARIABLE = "RAG_EXECUTOR"


def open_executor(name: str) -> dg.ExecutorDefinition:
    """The executor of this name.

    Raises:
        ConfigurationError: there is none of this name, or its package is not installed.
    """
    make = _EXECUTORS.get(name)
    if make is None:
        raise ConfigurationError(
            f"environment {VARIABLE}: found {name!r}; allowed: {', '.join(_EXECUTORS)}, or unset for in_process"
        )
    try:
        return make()
    except ImportError as error:
        package = (error.name or "its library").split(".")[0]
        raise ConfigurationError(
            f"environment {VARIABLE}: {name!r} needs {package}, which is not installed: {install(name)}; "
            f"allowed without it: {', '.join(_BUILT_IN)}"
        ) from error


def _in_process() -> dg.ExecutorDefinition:
    return dg.in_process_executor


def _multiprocess() -> dg.ExecutorDefinition:
    @dg.configured(
        dg.multiprocess_executor,
        config_schema={
            "max_concurrent": dg.Field(
                int, is_required=False, description="Steps at the same time; default: one per CPU core."
            )
        },
    )
    def multiprocess(config: dict[str, Any]) -> dict[str, Any]:
        return {
            **config,
            # lance, polars and torch have threads of their own: a forked child of such a process hangs or crashes.
            "start_method": {"spawn": {}},
            "retries": {"enabled": {}},
            "tag_concurrency_limits": [{"key": GPU_TAG, "value": "true", "limit": 1}],
        }

    return multiprocess


def _k8s() -> dg.ExecutorDefinition:
    from dagster_k8s import k8s_job_executor

    return k8s_job_executor


def _ray() -> dg.ExecutorDefinition:
    from dagster_ray.core.executor import ray_executor

    # Its own num_gpus stays unset: it would win over the tag of the step and give every step a GPU.
    return ray_executor


def _docker() -> dg.ExecutorDefinition:
    from dagster_docker import docker_executor

    return docker_executor


_BUILT_IN: dict[str, Callable[[], dg.ExecutorDefinition]] = {
    "in_process": _in_process,
    "multiprocess": _multiprocess,
}
_EXECUTORS = {**_BUILT_IN, "k8s": _k8s, "ray": _ray, "docker": _docker}
