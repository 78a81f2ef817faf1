"""What a corpus file says about evaluation: gold set, answers, judge, prices, and the gate's rules."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from rag_assets.corpus.base import Group, Place
from rag_assets.corpus.endpoint import Endpoint
from rag_assets.corpus.vllm import Vllm

Mode = Literal["vector", "text", "hybrid"]
AnswerMetric = Literal[
    "contextual_relevancy",
    "faithfulness",
    "answer_relevancy",
    "contextual_precision",
    "contextual_recall",
    "answer_correctness",
    "answered",
    "abstention",
]
"""Names of the measures of answers; see ``evaluation.judging.judge`` and ``evaluation.judging.answered``."""
ANSWER_METRICS: tuple[AnswerMetric, ...] = get_args(AnswerMetric)
METRIC_PATTERN = rf"^((recall|ndcg|success)@[1-9][0-9]?|mrr|{'|'.join(ANSWER_METRICS)})$"
METRIC_IN_WORDS = (
    f"recall@k, ndcg@k or success@k with k from 1 to 99, mrr, or of answers: {', '.join(ANSWER_METRICS)}"
)
Metric = Annotated[str, Field(pattern=METRIC_PATTERN, examples=["recall@5", "ndcg@10", "faithfulness"])]


class Extractive(Group):
    """Answers put together from the contexts' own sentences; no language model."""

    type: Literal["extractive"] = Field(description="The best supported sentences of the contexts.")
    sentences: int = Field(default=2, ge=1, le=20, description="Sentences of an answer, at most.")


class LocalJudge(Group):
    """Judges with small local models; no language model."""

    type: Literal["local"] = Field(
        description="Sentence embeddings, numbers, names and words; calibrated on human labels."
    )


class ChatEndpoint(Endpoint):
    """A chat model behind an OpenAI-compatible endpoint."""

    type: Literal["openai"] = Field(description="An OpenAI-compatible endpoint, such as a vLLM server.")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0 gives the likeliest reply.")
    max_tokens: int = Field(
        default=1024, ge=16, le=10_000_000, description="Tokens of a reply; a longer one is a failure."
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="Seconds for one reply, all attempts together."
    )
    concurrency: int = Field(default=16, ge=1, le=1024, description="Calls at the same time, at most.")


class VllmModel(Group):
    """A chat model in the process of the step, run by vLLM."""

    type: Literal["vllm"] = Field(description="A vLLM engine in the process of the step.")
    model: str = Field(min_length=1, description="Hub name or path.")
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto", description="Arithmetic of the model. auto: as the model says."
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="0 gives the likeliest reply.")
    max_tokens: int = Field(
        default=1024, ge=16, le=10_000_000, description="Tokens of a reply; a longer one is a failure."
    )
    timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        le=86_400,
        description="Seconds for one reply from its turn on; batches share the engine.",
    )
    concurrency: int = Field(
        default=256, ge=1, le=4096, description="Requests that the engine is given at once."
    )
    vllm: Vllm = Field(default=Vllm(), description="How the engine is built.")


ChatModel = ChatEndpoint | VllmModel
"""Whoever replies to messages."""
Generator = Annotated[Extractive | ChatEndpoint | VllmModel, Field(discriminator="type")]
Judge = Annotated[LocalJudge | ChatEndpoint | VllmModel, Field(discriminator="type")]


class Answers(Group):
    """Whether and how gold questions are answered, and who judges the answers."""

    generator: Generator = Field(
        default=Extractive(type="extractive"), description="Who answers from what search found."
    )
    instructions: str | None = Field(
        default=None, description="System prompt of a generating model. Unset: the built-in one."
    )
    contexts: int = Field(default=5, ge=1, le=50, description="Chunks that an answer is made from.")
    judge: Judge = Field(default=LocalJudge(type="local"), description="Who judges answers and contexts.")
    case_seconds: float = Field(
        default=180.0,
        gt=0,
        le=86_400,
        description="Seconds a judge may take for one question; then it is not judged.",
    )
    max_unjudged_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of questions that may lack an answer or a judgement; above it no rule on answers passes.",
    )


class Price(Group):
    """What a model costs."""

    input_per_million: float = Field(
        default=0.0, ge=0, le=1_000_000, description="Per million prompt tokens."
    )
    output_per_million: float = Field(
        default=0.0, ge=0, le=1_000_000, description="Per million generated tokens."
    )
    per_hour: float = Field(default=0.0, ge=0, le=1_000_000, description="Per hour in which the model works.")


class Prices(Group):
    """The price table."""

    currency: str = Field(default="EUR", description="For display.")
    models: dict[str, Price] = Field(
        default_factory=dict,
        description="By the name under which the corpus file or the package names a model.",
    )


class Evaluation(Group):
    """How candidates are measured."""

    gold: Place | None = Field(
        default=None,
        description="Gold set (JSON Lines), relative to the corpus file. Unset: no questions are asked.",
    )
    answers: Answers | None = Field(
        default=None,
        description="Answer the questions and judge the answers. Unset: only search is measured.",
    )
    max_stale_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of gold questions whose documents may be gone from the corpus; above it the gate refuses. "
        "What a change removed is to be restored, or its questions retired.",
    )
    bootstrap_samples: int = Field(
        default=1000, ge=100, le=100_000, description="Resamples behind each confidence interval."
    )
    worst_questions: int = Field(
        default=10, ge=0, le=10_000, description="Questions that the report shows in detail."
    )
    prices: Prices = Field(default=Prices(), description="What models cost, for the report.")

    @model_validator(mode="after")
    def _answers_need_questions(self) -> Evaluation:
        if self.answers is not None and self.gold is None:
            raise ValueError("answers need gold: without questions there is nothing to answer")
        return self


class Rule(Group):
    """One condition of the gate: an absolute floor, a largest drop, or both."""

    metric: Metric = Field(description="A metric of search or of answers.")
    mode: Mode = Field(
        default="hybrid",
        description="Search mode in which a metric of search is taken. Answers rest on hybrid search.",
    )
    tag: str | None = Field(default=None, description="Only questions with this tag.")
    min: float | None = Field(default=None, ge=0, le=1, description="The metric must reach this value.")
    max_drop: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="The metric may lie below the published version's by this much, at most.",
    )
    noise: Literal["refuse", "pass"] = Field(
        default="refuse",
        description="What a drop beyond max_drop does that may be chance (its 95 % interval includes 0).",
    )

    @model_validator(mode="after")
    def _has_a_limit(self) -> Rule:
        if self.min is None and self.max_drop is None:
            raise ValueError("a rule needs 'min', 'max_drop' or both")
        return self


class Gate(Group):
    """What a candidate must fulfil to be published."""

    rules: tuple[Rule, ...] = Field(default=(), description="All must hold.")
    worse_slices: Literal["refuse", "warn"] = Field(
        default="warn",
        description="What a tag, source, document type or tenant does that became worse beyond noise.",
    )
    max_removed_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Largest share of the published documents that one publication may remove. Guards against a "
        "source that is suddenly empty, such as a folder that is not mounted.",
    )
