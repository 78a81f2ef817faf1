"""Kubernetes: the pods that dagster-k8s would start for our steps, and the manifests of ``deploy/kubernetes``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag_assets_tests.orchestration.test_gpu_steps import GPU, MODEL, corpus, operations
from rag_assets_tests.stack import CHECKOUT

pytest.importorskip("dagster_k8s", reason="needs the extra 'k8s'")

MANIFESTS = CHECKOUT / "deploy" / "kubernetes"
KINDS = {
    "ConfigMap": "V1ConfigMap",
    "Deployment": "V1Deployment",
    "Namespace": "V1Namespace",
    "PriorityClass": "V1PriorityClass",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "Service": "V1Service",
    "ServiceAccount": "V1ServiceAccount",
}
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}],
}


def manifests() -> Iterator[dict[str, Any]]:
    for name in yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]:
        yield from yaml.safe_load_all((MANIFESTS / name).read_text())


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in manifests() if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def instance_config() -> dict[str, Any]:
    config = yaml.safe_load(named("ConfigMap", "rag-assets-instance")["data"]["dagster.yaml"])
    assert isinstance(config, dict)
    return config


class Launched:
    """What dagster-k8s would create for steps, with the run launcher that the manifests configure."""

    def __init__(self, folder: Path) -> None:
        from dagster._config import process_config
        from dagster_k8s import K8sRunLauncher

        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(KUBECONFIG))
        config = instance_config()["run_launcher"]["config"]
        found = process_config(K8sRunLauncher.config_type(), config)
        assert found.success, found.errors
        reach = {"load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
        self.launcher = K8sRunLauncher(**{**(found.value or {}), **reach})

    def pod(self, tags: Mapping[str, str]) -> Any:
        """The pod of a step, as the API server would be asked for it."""
        from dagster import DagsterRun
        from dagster_k8s.container_context import K8sContainerContext
        from dagster_k8s.job import construct_dagster_k8s_job, get_user_defined_k8s_config

        # As its step handler does it: launcher, then the step's tags.
        run = DagsterRun(job_name="handbook_job")
        context = K8sContainerContext.create_for_run(run, self.launcher, include_run_tags=False).merge(
            K8sContainerContext(run_k8s_config=get_user_defined_k8s_config(tags))
        )
        job = construct_dagster_k8s_job(
            job_config=context.get_k8s_job_config("rag-assets:1", self.launcher),
            args=["dagster", "api", "execute_step"],
            job_name="step",
            component="step_worker",
            user_defined_k8s_config=context.run_k8s_config,
        )
        assert job.spec.backoff_limit == 0, "Dagster retries steps, not Kubernetes"
        return job.spec.template.spec


@pytest.fixture
def pods(tmp_path: Path) -> dict[str, Any]:
    """The pod of each step of a corpus with a GPU."""
    launched = Launched(tmp_path)
    return {
        name: launched.pod(step.tags) for name, step in operations(corpus(tmp_path, gpu=GPU, **MODEL)).items()
    }


def test_the_pod_of_a_step_with_a_gpu_gets_what_the_corpus_file_says(pods: dict[str, Any]) -> None:
    pod = pods["handbook__embeddings.model"]
    (container,) = pod.containers
    assert container.image == GPU["image"]
    assert container.resources.limits["nvidia.com/gpu"] == "2"
    assert pod.node_selector == GPU["node_selector"]
    (toleration,) = pod.tolerations
    assert (toleration.key, toleration.operator, toleration.effect) == (
        "nvidia.com/gpu",
        "Exists",
        "NoSchedule",
    )
    assert pod.priority_class_name == "batch"
    affinity = pod.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    ((term,),) = [one.match_expressions for one in affinity.node_selector_terms]
    assert (term.key, term.operator, term.values) == ("nvidia.com/gpu.memory", "Gt", ["40959"])


def test_a_step_with_a_gpu_keeps_what_every_step_has(pods: dict[str, Any]) -> None:
    (container,) = pods["handbook__embeddings.model"].containers
    assert container.resources.limits["memory"] == "8Gi"
    assert container.resources.requests == {"cpu": "1", "memory": "4Gi"}
    secrets = {
        entry.name: (entry.value_from.secret_key_ref.name, entry.value_from.secret_key_ref.key)
        for entry in container.env
        if entry.value_from is not None
    }
    assert secrets == {
        "HF_TOKEN": ("hub", "token"),
        "DAGSTER_PG_PASSWORD": ("rag-assets-postgres", "password"),
        "RAG_INBOX": ("rag-assets-postgres", "inbox-url"),
        "AWS_ACCESS_KEY_ID": ("rag-assets-s3", "access-key-id"),
        "AWS_SECRET_ACCESS_KEY": ("rag-assets-s3", "secret-access-key"),
    }
    assert {mount.mount_path for mount in container.volume_mounts} >= {
        "/app/corpora",
        "/app/.dagster/dagster.yaml",
    }


def test_no_other_step_asks_for_a_gpu(pods: dict[str, Any]) -> None:
    others = {name: pod for name, pod in pods.items() if name != "handbook__embeddings.model"}
    assert {"handbook__embeddings.plan", "handbook__embeddings.record", "handbook__index"} <= others.keys()
    for pod in others.values():
        (container,) = pod.containers
        assert container.image == "rag-assets:1"
        assert "nvidia.com/gpu" not in container.resources.limits
        assert (pod.node_selector, pod.tolerations, pod.affinity, pod.priority_class_name) == (None,) * 4
        assert "HF_TOKEN" not in {entry.name for entry in container.env}


def test_every_manifest_is_what_the_api_server_takes() -> None:
    from kubernetes import client

    for manifest in manifests():
        model = getattr(client, KINDS[manifest["kind"]])
        check(manifest, model, manifest["kind"])
        # Refuses what lacks a required field.
        client.ApiClient()._ApiClient__deserialize(manifest, model)  # type: ignore[attr-defined]
        assert manifest["metadata"].get("namespace", "rag-assets") == "rag-assets"


def check(value: Any, model: Any, where: str) -> None:
    """No field that the model lacks: the client would leave it out without a word."""
    from kubernetes import client

    names = {
        name: kind for python, name in model.attribute_map.items() for kind in [model.openapi_types[python]]
    }
    for name, inner in value.items():
        assert name in names, f"{where}.{name}"
        kind = names[name]
        listed = kind.startswith("list[")
        found = getattr(client, kind.removeprefix("list[").removesuffix("]"), None)
        if found is not None and hasattr(found, "attribute_map"):
            for one in inner if listed else [inner]:
                check(one, found, f"{where}.{name}")


def test_secrets_are_named_and_never_written() -> None:
    for manifest in manifests():
        assert manifest["kind"] != "Secret"
        for entry in environment(manifest):
            secret = any(word in entry["name"] for word in ("PASSWORD", "SECRET", "KEY", "INBOX", "TOKEN"))
            assert not secret or "secretKeyRef" in entry["valueFrom"], entry["name"]
        for name in manifest.get("data", {}):
            assert "PASSWORD" not in name and "KEY" not in name


def environment(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if manifest["kind"] == "Deployment":
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            yield from container["env"]
    if manifest["metadata"]["name"] == "rag-assets-instance":
        yield from instance_config()["run_launcher"]["config"]["run_k8s_config"]["container_config"]["env"]


def test_manifests_name_only_what_exists() -> None:
    accounts = {one["metadata"]["name"] for one in manifests() if one["kind"] == "ServiceAccount"} | {
        "default"
    }
    maps = {one["metadata"]["name"] for one in manifests() if one["kind"] == "ConfigMap"}
    maps |= {"rag-assets-corpora"}  # made from the folder of corpus files
    labels = []
    for manifest in manifests():
        if manifest["kind"] != "Deployment":
            continue
        spec = manifest["spec"]["template"]["spec"]
        assert spec["serviceAccountName"] in accounts
        assert {volume["configMap"]["name"] for volume in spec["volumes"]} <= maps
        (container,) = spec["containers"]
        assert {source["configMapRef"]["name"] for source in container["envFrom"]} <= maps
        labels.append(manifest["spec"]["template"]["metadata"]["labels"])
        assert manifest["spec"]["selector"]["matchLabels"] == labels[-1]
    for manifest in manifests():
        if manifest["kind"] == "Service":
            assert manifest["spec"]["selector"] in labels
    launcher = instance_config()["run_launcher"]["config"]
    assert launcher["service_account_name"] in accounts
    assert launcher["instance_config_map"] in maps
    code = named("Deployment", "rag-assets-code")["spec"]["template"]["spec"]["containers"][0]
    images = {entry["value"] for entry in code["env"] if entry["name"] == "DAGSTER_CURRENT_IMAGE"}
    assert images == {code["image"]}, "runs and steps use the image of the code location"


def test_the_cluster_differs_from_one_host_only_in_how_runs_are_launched() -> None:
    host = yaml.safe_load((CHECKOUT / "deploy" / "dagster.yaml").read_text())
    cluster = instance_config()
    for settings in (host, cluster):
        settings.pop("run_launcher")
        settings.pop("retention", None)
        settings["run_monitoring"].pop("start_timeout_seconds")
    assert json.dumps(host, sort_keys=True) == json.dumps(cluster, sort_keys=True)
    environ = named("ConfigMap", "rag-assets-environment")["data"]
    assert environ["RAG_EXECUTOR"] == "k8s"
