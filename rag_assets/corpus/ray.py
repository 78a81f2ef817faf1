"""What a corpus file says about the Ray cluster that does the work: where it is, and how many of it to take."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from rag_assets.corpus.base import Group

_ADDRESS = re.compile(r"auto|local|[A-Za-z0-9._-]+:[0-9]{1,5}|\[[0-9A-Fa-f:]+\]:[0-9]{1,5}")


class Workers(Group):
    """How many actors share one kind of work. The pool grows while work waits, and shrinks when none does."""

    min: int = Field(
        default=1, ge=1, le=10_000, description="Actors from the start; the run waits until they have room."
    )
    max: int = Field(
        default=4, ge=1, le=10_000, description="Actors when there is much to do and room for them."
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Workers:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) must not be above max ({self.max})")
        return self


class Ray(Group):
    """Parsing, chunking and embedding on the actors of a Ray cluster."""

    address: str = Field(
        default="auto",
        description="auto: the cluster that RAY_ADDRESS names, else the one that runs on this machine, else one that "
        "is started for the run on this machine alone. local: always the latter. Or host:port of a cluster's head.",
        examples=["auto", "ray-head:6379"],
    )
    cpu_workers: Workers = Field(default=Workers(), description="Actors that read, parse and chunk.")
    gpu_workers: Workers = Field(
        default=Workers(), description="Actors that embed; each loads the model once."
    )
    gpus_per_worker: float = Field(
        default=0.0,
        ge=0,
        le=1024,
        description="GPUs of an embedding actor, which may be a fraction, such as 0.5. 0: it embeds on the CPU.",
    )
    cpus_per_worker: float = Field(
        default=1.0,
        gt=0,
        le=1024,
        description="CPUs of an actor that has no GPU. One that parses has a parser process for each of them.",
    )

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{address!r} is no address; allowed: auto, local, or host:port of a Ray head")
        return address

    @field_validator("gpus_per_worker")
    @classmethod
    def _is_what_ray_gives(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"{gpus:g} cannot be had: above one GPU, Ray gives whole ones")
        return gpus
