"""What a corpus file says about GPUs: that its model steps want one, and on which machines to look for it.

Every executor takes from this what it understands: Kubernetes all of it, Ray count and memory, one
machine's own processes only that such a step is there. See docs/executors.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rag_assets.corpus.base import Group, VariableName

GPU_EMBEDDERS = frozenset(["sentence-transformers", "vllm"])
GPU_GENERATORS = frozenset(["vllm"])
GPU_JUDGES = frozenset(["vllm"])
"""Types that compute in the step's own process on what GPU it has; the others need none."""
_PART = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = rf"{_PART}(\.{_PART})*"
K8S_NAME = rf"^{_NAME}$"
K8S_NAME_IN_WORDS = "a name as Kubernetes has them: lower-case letters, digits, '-' and '.'"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
K8S_LABEL_KEY = rf"^({_NAME}/)?{_LABEL}$"
K8S_LABEL_KEY_IN_WORDS = "a label's key, such as pool or example.org/pool"
K8S_LABEL_VALUE = rf"^({_LABEL})?$"
K8S_LABEL_VALUE_IN_WORDS = "a label's value: up to 63 letters, digits, '-', '_' and '.'"
LabelKey = Annotated[str, Field(pattern=K8S_LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=K8S_LABEL_VALUE)]


class Toleration(Group):
    """A taint that steps with a GPU may ignore."""

    key: LabelKey | None = Field(default=None, description="The taint's key. Unset with Exists: every taint.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Exists", description="Exists: whatever the taint's value is. Equal: only this value."
    )
    value: LabelValue | None = Field(default=None, description="The taint's value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect. Unset: every effect."
    )

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Toleration:
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("operator: Equal needs a value, and Exists must not have one")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator: Equal needs a key")
        return self


class StepSecret(Group):
    """An entry of a Kubernetes Secret that steps with a GPU see as an environment variable."""

    variable: VariableName = Field(description="Environment variable of the step, such as HF_TOKEN.")
    secret: str = Field(pattern=K8S_NAME, description="Name of the Secret, in the namespace of the runs.")
    key: str = Field(min_length=1, description="Entry of the Secret.")


class Gpu(Group):
    """Steps that run a model want a GPU."""

    count: int = Field(default=1, ge=1, le=64, description="GPUs of one step.")
    memory_gib: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="GiB of memory that one GPU must have, to choose a node by; a card sold with 80 GB shows 79. "
        "Unset: any GPU.",
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="Image of these steps, such as one with CUDA and vLLM. Unset: that of all steps.",
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels of the nodes where these steps may run."
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), description="Taints of GPU nodes that these steps may ignore."
    )
    priority: int = Field(
        default=0,
        ge=-1_000_000,
        le=1_000_000,
        description="Steps of a run with a higher number start first when several wait for the same slot.",
    )
    priority_class: str | None = Field(
        default=None, pattern=K8S_NAME, description="PriorityClass of the pods: whom they may displace."
    )
    secrets: tuple[StepSecret, ...] = Field(
        default=(), description="Entries of Secrets that these steps need, such as a token for a model hub."
    )
