"""Where the steps of a run are executed: ``RAG_EXECUTOR`` → an executor of Dagster, or of one of its libraries.

What an executor needs beyond that (image, namespace, address of a cluster) it takes from its own standard
places: ``dagster.yaml``, its environment, or the run's configuration. See docs/executors.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import dagster as dg

from rag_assets.corpus import OVERRIDE_PREFIX
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
    @dg.configured(ray_executor, config_schema=ray_executor.config_schema.as_field())
    def ray(config: dict[str, Any]) -> dict[str, Any]:
        given = config["ray"].get("env_vars") or []
        return {**config, "ray": {**config["ray"], "env_vars": [*_settings(), *given]}}

    return ray


def _docker() -> dg.ExecutorDefinition:
    from dagster_docker import docker_executor

    return docker_executor


def _settings() -> list[str]:
    """Variables that a step on another machine must see as this process does, or it works on another store.

    Ray shows what a job is given to everyone who may see its dashboard: secrets belong to the cluster's own
    environment.
    """
    names = ("DAGSTER_HOME", "RAG_STORE", "RAG_CORPORA", "RAG_EXECUTOR", "RAG_BY")
    return sorted(name for name in os.environ if name in names or name.startswith(OVERRIDE_PREFIX))


_BUILT_IN: dict[str, Callable[[], dg.ExecutorDefinition]] = {
    "in_process": _in_process,
    "multiprocess": _multiprocess,
}
_EXECUTORS = {**_BUILT_IN, "k8s": _k8s, "ray": _ray, "docker": _docker}
