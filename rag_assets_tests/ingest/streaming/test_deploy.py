"""The manifests for KubeRay: what cannot be seen to work here is at least held to what it must say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kuberay"


def manifest(name: str) -> dict[str, Any]:
    (found,) = yaml.safe_load_all((FOLDER / name).read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    found = manifest("cluster.yaml")
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", "RayCluster")
    return found


def groups(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in cluster["spec"]["workerGroupSpecs"]}


def pods(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    specs = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    return [spec["template"]["spec"] for spec in specs]


def test_the_cluster_runs_the_ray_that_is_pinned(cluster: dict[str, Any]) -> None:
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert cluster["spec"]["rayVersion"] == pinned[1]


def test_cpu_and_gpu_pods_come_and_go_and_only_gpu_pods_have_gpus(cluster: dict[str, Any]) -> None:
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    found = groups(cluster)
    assert found.keys() == {"cpu", "gpu"}
    for name, group in found.items():
        assert group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
        (container,) = group["template"]["spec"]["containers"]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (name == "gpu")
    assert found["gpu"]["minReplicas"] == 0


def test_the_head_takes_no_work(cluster: dict[str, Any]) -> None:
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_all_pods_have_one_image_one_environment_and_the_secret_by_reference(cluster: dict[str, Any]) -> None:
    containers = [container for pod in pods(cluster) for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for container in containers:
        assert container["envFrom"] == [{"secretRef": {"name": "rag-assets-store"}}]
        values = {entry["name"]: entry["value"] for entry in container["env"]}
        assert values["RAY_USAGE_STATS_ENABLED"] == "0"
        assert not [name for name in values if re.search("(?i)key|secret|token|password", name)]
        assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_pods_run_as_the_user_of_the_image(cluster: dict[str, Any]) -> None:
    user = re.search(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert user is not None
    for pod in pods(cluster):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == int(user[1])


def test_the_job_runs_a_corpus_on_that_cluster(cluster: dict[str, Any]) -> None:
    job = manifest("run.yaml")
    assert job["kind"] == "RayJob"
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    assert job["spec"]["entrypoint"].startswith("rag-assets run ")
