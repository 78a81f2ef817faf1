"""Which steps want a GPU, and how each executor is told.

corpus file → one set of tags for a step. An executor reads its own tag and ignores the others, so the same
definitions run on all of them. Only the step that runs the model is marked: what is planned and recorded
around it needs no GPU.
"""

from __future__ import annotations

from typing import Any

from rag_assets.corpus import GPU_EMBEDDERS, GPU_GENERATORS, GPU_JUDGES, Corpus, Gpu

GPU_POOL = "gpu"
"""Of all corpora and models: who holds its slot has the GPU to itself."""
GPU_TAG = "rag_assets/gpu"
"""By which the executor of one machine recognizes such steps (``tag_concurrency_limits``)."""
GPU_RESOURCE = "nvidia.com/gpu"
GPU_MEMORY_LABEL = "nvidia.com/gpu.memory"
"""Label that NVIDIA's feature discovery puts on a node: MiB of one GPU."""
RAY_MEMORY = "gpu_memory_gib"
"""Custom resource that Ray nodes declare when corpora ask for ``memory_gib``."""


def wants_gpu(corpus: Corpus, stage: str) -> bool:
    """Whether a stage runs a model in its own process, in a corpus that has GPUs for that."""
    if corpus.gpu is None:
        return False
    if stage == "embeddings":
        return corpus.embedder.type in GPU_EMBEDDERS
    answers = corpus.evaluation.answers
    if answers is None:
        return False
    if stage == "answers":
        return answers.generator.type in GPU_GENERATORS
    return stage == "judgements" and answers.judge.type in GPU_JUDGES


def gpu_tags(gpu: Gpu) -> dict[str, Any]:
    """Tags of a step that wants a GPU."""
    return {
        GPU_TAG: "true",
        "dagster/priority": str(gpu.priority),
        "dagster-k8s/config": {"container_config": _container(gpu), "pod_spec_config": _pod(gpu)},
        "dagster-ray/config": _ray(gpu),
    }


def _container(gpu: Gpu) -> dict[str, Any]:
    # Kubernetes takes the limit of such a resource as its request, too.
    container: dict[str, Any] = {"resources": {"limits": {GPU_RESOURCE: str(gpu.count)}}}
    if gpu.image is not None:
        container["image"] = gpu.image
    if gpu.secrets:
        container["env"] = [
            {
                "name": one.variable,
                "value_from": {"secret_key_ref": {"name": one.secret, "key": one.key}},
            }
            for one in gpu.secrets
        ]
    return container


def _pod(gpu: Gpu) -> dict[str, Any]:
    pod: dict[str, Any] = {}
    if gpu.node_selector:
        pod["node_selector"] = dict(gpu.node_selector)
    if gpu.tolerations:
        pod["tolerations"] = [one.model_dump(exclude_none=True) for one in gpu.tolerations]
    if gpu.priority_class is not None:
        pod["priority_class_name"] = gpu.priority_class
    if gpu.memory_gib is not None:
        enough = {
            "key": GPU_MEMORY_LABEL,
            "operator": "Gt",
            "values": [str(gpu.memory_gib * 1024 - 1)],
        }
        required = {"node_selector_terms": [{"match_expressions": [enough]}]}
        pod["affinity"] = {"node_affinity": {"required_during_scheduling_ignored_during_execution": required}}
    return pod


def _ray(gpu: Gpu) -> dict[str, Any]:
    ray: dict[str, Any] = {"num_gpus": gpu.count}
    if gpu.memory_gib is not None:
        ray["resources"] = {RAY_MEMORY: gpu.memory_gib}
    return ray
