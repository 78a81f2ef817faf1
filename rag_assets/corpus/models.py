"""What a corpus file may say: one frozen pydantic model for each group of fields.

Defaults, units and reasons stand where a field is declared; editors show them from the JSON Schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rag_assets.corpus.base import Group
from rag_assets.corpus.embedder import Embedder
from rag_assets.corpus.endpoint import URL_PATTERN
from rag_assets.corpus.evaluation import (
    ANSWER_METRICS,
    METRIC_IN_WORDS,
    METRIC_PATTERN,
    Evaluation,
    Gate,
    VllmModel,
)
from rag_assets.corpus.events import BUCKET_PATTERN, REPOSITORY_PATTERN, Events, Freshness, Schedule
from rag_assets.corpus.gpu import (
    GPU_EMBEDDERS,
    K8S_LABEL_KEY,
    K8S_LABEL_KEY_IN_WORDS,
    K8S_LABEL_VALUE,
    K8S_LABEL_VALUE_IN_WORDS,
    K8S_NAME,
    K8S_NAME_IN_WORDS,
    Gpu,
)
from rag_assets.corpus.index import COLUMN_PATTERN, Index
from rag_assets.corpus.invalidation import Invalidation
from rag_assets.corpus.quality import Quality
from rag_assets.corpus.ray import Ray
from rag_assets.corpus.sources import S3_URL_PATTERN, S3Source, Source
from rag_assets.errors import ConfigurationError

NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
PATTERNS_IN_WORDS = {
    NAME_PATTERN: "lower-case letters, digits and single underscores between them, a letter first",
    COLUMN_PATTERN: "up to 63 lower-case letters, digits and underscores, a letter first",
    METRIC_PATTERN: METRIC_IN_WORDS,
    URL_PATTERN: "http://host/v1 or https://host/v1, without user name, password and '?'",
    S3_URL_PATTERN: "s3://bucket or s3://bucket/prefix, without '?' and '#'",
    BUCKET_PATTERN: "the name of a bucket, without s3:// and '/'",
    REPOSITORY_PATTERN: "owner/name, as in https://github.com/owner/name",
    K8S_NAME: K8S_NAME_IN_WORDS,
    K8S_LABEL_KEY: K8S_LABEL_KEY_IN_WORDS,
    K8S_LABEL_VALUE: K8S_LABEL_VALUE_IN_WORDS,
}


class Parsing(Group):
    """Bytes to text, in worker processes with limits."""

    timeout_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="Seconds one document may take; then it is quarantined."
    )
    memory_mb: int = Field(
        default=2048,
        ge=256,
        le=1_048_576,
        description="Address space in MiB that parsing one document may add to its worker.",
    )
    max_bytes: int = Field(
        default=50_000_000, ge=1, le=10_000_000_000, description="Larger documents are quarantined unread."
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Worker processes; 0 means one per CPU core that this machine or container may use.",
    )
    max_quarantined_share: float = Field(
        default=0.2, ge=0, le=1, description="The run fails when a larger share of documents is quarantined."
    )


class Chunking(Group):
    """Text to chunks."""

    max_tokens: int | None = Field(
        default=None,
        ge=16,
        le=1_000_000,
        description="Upper bound of a chunk in tokens of the embedder, headings included. Unset: the "
        "embedder's window, or 256 for an embedder without one. Never above the window.",
    )
    overlap_tokens: int = Field(
        default=0, ge=0, le=1_000_000, description="Tokens that a chunk repeats from the one before, at most."
    )
    include_headings: bool = Field(
        default=True,
        description="Embed and index each chunk under its heading path (its text stays the plain span).",
    )


class Publication(Group):
    """What is kept, and how often it is verified."""

    keep: int = Field(
        default=20, ge=2, le=100_000, description="Publications that stay readable and can be rolled back to."
    )
    verify_days: float = Field(
        default=7,
        ge=0,
        le=36_500,
        description="Days after which a run compares every published row with the stores again; 0: every run.",
    )


class Corpus(Group):
    """One corpus: everything between its sources and its published index."""

    name: str = Field(
        default="",
        validate_default=False,
        pattern=NAME_PATTERN,
        max_length=63,
        description="The file's name without .yaml, and the default. Lower case, single underscores.",
    )
    description: str = Field(default="", description="Shown in the Dagster UI.")
    owners: tuple[str, ...] = Field(default=(), description="E-mail addresses or team:<name>.")
    sources: tuple[Source, ...] = Field(min_length=1, description="Where documents come from.")
    parsing: Parsing = Field(default=Parsing(), description="Bytes to text.")
    chunking: Chunking = Field(default=Chunking(), description="Text to chunks.")
    embedder: Embedder = Field(default=Embedder(), description="Chunks to vectors.")
    engine: Literal["local", "stream", "ray"] = Field(
        default="local",
        description="How documents are parsed, chunked and embedded; all make the same. local: stage by stage. stream: "
        "all at once on this machine, for a model on its GPU or behind an endpoint. ray: on the actors of a Ray cluster.",
    )
    ray: Ray | None = Field(
        default=None, description="With engine: ray, which cluster and how much of it. Unset: the defaults."
    )
    index: Index = Field(default=Index(), description="The LanceDB table and its indexes.")
    gpu: Gpu | None = Field(
        default=None,
        description="Steps that run a model want a GPU. Unset: they run where all steps do.",
    )
    quality: Quality | None = Field(
        default=None, description="Hold each stage to a suite of expectations. Unset: nothing is judged."
    )
    evaluation: Evaluation = Field(default=Evaluation(), description="How a candidate is measured.")
    gate: Gate = Field(default=Gate(), description="What a candidate must fulfil to be published.")
    publication: Publication = Field(
        default=Publication(), description="What is kept, and how often it is verified."
    )
    events: Events | None = Field(
        default=None,
        description="Reindex what changed, as it changes. Unset: runs start by hand or on schedule.",
    )
    schedule: Schedule | None = Field(default=None, description="Runs at fixed times. Unset: none.")
    automation: bool = Field(
        default=False, description="Let Dagster run what a changed corpus file or package makes stale."
    )
    freshness: Freshness | None = Field(
        default=None, description="How old a publication may be. Unset: any age."
    )
    invalidation: Invalidation | None = Field(
        default=None, description="Tell caches what to forget after each publication. Unset: nobody is told."
    )

    _folder: Path = PrivateAttr(default=Path())

    def placed(self, folder: Path) -> Corpus:
        """The same corpus with its relative paths starting at ``folder``."""
        corpus = self.model_copy()
        corpus._folder = folder
        return corpus

    def resolve(self, path: Path) -> Path:
        """A path of the corpus file, made absolute: relative ones start at the file's folder.

        Raises:
            ConfigurationError: it leads nowhere, such as a link to itself.
        """
        try:
            return (self._folder / path.expanduser()).resolve()
        except (RuntimeError, OSError) as error:
            raise ConfigurationError(
                f"{self.name}: the path {str(path)!r} of the corpus file leads nowhere: {error}"
            ) from error

    @property
    def gold_path(self) -> Path | None:
        """Absolute path of the gold set, or None when the corpus has none."""
        return None if self.evaluation.gold is None else self.resolve(self.evaluation.gold)

    @property
    def suites_path(self) -> Path | None:
        """Absolute path of the folder with the corpus's own suites, or None for the built-in ones."""
        suites = self.quality.suites if self.quality else None
        return None if suites is None else self.resolve(suites)

    @field_validator("owners")
    @classmethod
    def _owners_are_addresses(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        for owner in owners:
            if not owner.startswith("team:") and "@" not in owner:
                raise ValueError(f"{owner!r} is neither an e-mail address nor team:<name>")
        return owners

    @field_validator("sources")
    @classmethod
    def _ids_do_not_collide(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        if len({source.prefix for source in sources}) < len(sources):
            raise ValueError("sources must have different prefixes, or their document ids would collide")
        return sources

    @field_validator("events")
    @classmethod
    def _one_place_names_the_bucket(cls, events: Events | None, info: ValidationInfo) -> Events | None:
        bucket = events and events.webhooks and events.webhooks.bucket
        own = [one.bucket for one in info.data.get("sources", ()) if isinstance(one, S3Source)]
        if bucket and own:
            raise ValueError(
                f"webhooks.bucket is {bucket!r}, but the sources of type s3 say which bucket it is ({', '.join(own)}): "
                "leave it out"
            )
        return events

    @field_validator("gpu")
    @classmethod
    def _machines_agree_on_precision(cls, gpu: Gpu | None, info: ValidationInfo) -> Gpu | None:
        embedder = info.data.get("embedder")
        if gpu is None or embedder is None or embedder.type not in GPU_EMBEDDERS:
            return gpu
        if info.data.get("engine") == "stream":
            raise ValueError(
                "with engine: stream, the step that parses also embeds, and gpu cannot send the one without the other to "
                "a GPU; take engine: local, or an endpoint (embedder.type: openai), or leave gpu out where all runs on "
                "the machine with the GPU"
            )
        if embedder.precision == "auto":
            # A machine with a GPU and one without would look for the vectors under two fingerprints.
            raise ValueError(
                "a corpus with gpu needs embedder.precision: float32 or bfloat16; auto is what each machine has, and "
                "steps on different machines must agree"
            )
        return gpu

    @model_validator(mode="after")
    def _engines_fit_the_gpus(self) -> Corpus:
        answers = self.evaluation.answers
        models = [answers.generator, answers.judge] if answers is not None else []
        engines = [self.embedder.vllm, *(model.vllm for model in models if isinstance(model, VllmModel))]
        wanted = max(
            (one.tensor_parallel_size * one.data_parallel_size for one in engines if one is not None),
            default=1,
        )
        worker = (self.ray or Ray()).gpus_per_worker
        own = self.embedder.vllm
        if self.engine == "ray" and own is not None:
            on_worker = own.tensor_parallel_size * own.data_parallel_size
            if on_worker > max(1, worker):
                raise ValueError(
                    f"ray.gpus_per_worker is {worker:g}, but an embedding engine wants tensor_parallel_size times "
                    f"data_parallel_size = {on_worker} GPUs"
                )
        if (
            self.gpu is not None
            and self.engine == "ray"
            and not worker
            and self.embedder.type in GPU_EMBEDDERS
        ):
            raise ValueError(
                "gpu asks for GPUs, but ray.gpus_per_worker is 0: the actors that embed would compute on CPUs. Say how "
                "much of a GPU each of them has"
            )
        if self.gpu is not None and wanted > self.gpu.count:
            raise ValueError(
                f"gpu.count is {self.gpu.count}, but an engine wants tensor_parallel_size times data_parallel_size = "
                f"{wanted} GPUs"
            )
        return self

    @field_validator("ray")
    @classmethod
    def _ray_is_the_engine(cls, ray: Ray | None, info: ValidationInfo) -> Ray | None:
        if ray is not None and info.data.get("engine") in ("local", "stream"):
            raise ValueError("needs engine: ray; without it, nothing runs on a cluster")
        return ray

    @field_validator("gate")
    @classmethod
    def _rules_can_be_checked(cls, gate: Gate, info: ValidationInfo) -> Gate:
        evaluation = info.data.get("evaluation")
        if gate.rules and evaluation is not None and evaluation.gold is None:
            raise ValueError("rules need evaluation.gold: without questions no rule can be checked")
        if evaluation is not None and evaluation.answers is None:
            named = [rule.metric for rule in gate.rules if rule.metric in ANSWER_METRICS]
            if named:
                raise ValueError(
                    f"a rule on {named[0]} needs evaluation.answers: no question is answered without it"
                )
        return gate


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a corpus file, for editors."""
    schema = Corpus.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "rag-assets corpus file"
    return schema
