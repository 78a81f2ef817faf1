"""A small Ray cluster of two machines, made of processes on this one, for the whole session."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

# Before Ray starts anything.
os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DEDUP_LOGS": "0"})
os.environ.pop("RAY_ADDRESS", None)


def small_cluster() -> Any:
    """A head, which has CPUs alone; machines with GPUs, which exist in name, are added to it."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'ray[data]'")
    with warnings.catch_warnings():
        # LanceDB warns of every fork; what Ray forks becomes another program at once.
        warnings.filterwarnings("ignore", "lance")
        from ray.cluster_utils import Cluster

        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 2, "include_dashboard": False, "object_store_memory": 150_000_000},
        )
        assert not ray.is_initialized()
        return cluster


def add_gpu_machine(cluster: Any) -> Any:
    """One more machine, with a logical GPU and nothing else, as the GPU pods of deploy/kuberay."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lance")
        return cluster.add_node(num_cpus=0, num_gpus=1)


@pytest.fixture(scope="package")
def cluster() -> Iterator[Any]:
    """A head and a machine with a GPU. This process is connected to it.

    It ends with these tests: Ray's agents listen on a port that a second cluster of one machine would want, too.
    """
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'ray[data]'")
    found = small_cluster()
    add_gpu_machine(found)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lance")
        ray.init(address=found.address, logging_level="error", log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()
