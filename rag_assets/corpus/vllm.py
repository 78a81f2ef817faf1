"""What a corpus file says about a vLLM engine that runs in the process of a step."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rag_assets.corpus.base import Group

NGRAM_MIN, NGRAM_MAX = 8, 16
"""Tokens that must repeat before what followed them is guessed.

Shorter repetitions, such as those of punctuation and field names, corrupt structured output (vllm-project/vllm#40875:
half of the replies from 2 tokens on, hardly any from 8), and generators and judges ask for nothing else. vLLM takes the
maximum for the minimum where only that is given, so both are.
"""


class Vllm(Group):
    """How a vLLM engine is built. Names are those of vLLM's engine arguments."""

    tensor_parallel_size: int = Field(
        default=1, ge=1, le=1024, description="GPUs that one copy of the model is spread over."
    )
    data_parallel_size: int = Field(default=1, ge=1, le=1024, description="Copies of the model.")
    quantization: Literal["fp8", "awq", "gptq"] | None = Field(
        default=None,
        description="fp8 quantizes while loading; awq and gptq need a model in that form. Unset: as the model says.",
    )
    max_model_len: int | None = Field(
        default=None,
        ge=16,
        le=100_000_000,
        description="Tokens that a request may have, reply included. Unset: the model's.",
    )
    gpu_memory_utilization: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of a GPU's memory for the engine; on a CPU, of the machine's.",
    )
    enable_prefix_caching: bool | None = Field(
        default=None,
        description="Compute the beginning that prompts share only once. Unset: where the model allows it.",
    )
    ngram_tokens: int = Field(
        default=0,
        ge=0,
        le=32,
        description="Tokens guessed at a time from repetitions in the prompt (n-gram speculative decoding); 0: none. "
        "Pays where replies quote their contexts; from repetitions of 8 tokens on, since shorter ones corrupt JSON.",
    )
    enforce_eager: bool = Field(
        default=False, description="Start sooner and run slower: no graphs are compiled."
    )
