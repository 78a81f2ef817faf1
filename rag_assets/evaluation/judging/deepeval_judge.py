"""Judge backend: DeepEval's metrics with a model behind an OpenAI-compatible endpoint.

case → DeepEval metrics, concurrently → scores. DeepEval works without its service: telemetry and
.env files are off, nothing is written. A case has one time budget for all of its calls. What DeepEval
would count as a perfect score for want of statements is a failure here: silence is no proof.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rag_assets import corpus
from rag_assets.errors import ConfigurationError, ModelUnavailable, install
from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.evaluation.gold.words import words
from rag_assets.evaluation.judging.judge import Case, Judgement, Score
from rag_assets.inference.chat import Chat, Failure
from rag_assets.inference.open_chat import identity, open_chat
from rag_assets.store.digest import fingerprint

if TYPE_CHECKING:
    from deepeval.metrics import BaseMetric
    from deepeval.test_case import LLMTestCase

VERSION = 3  # raise when this file judges otherwise
LEAST_SHARED = (
    0.2  # of the words of a judge's statements stand in the case; a translation shares names and numbers
)
QUIET = {
    "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
    "DEEPEVAL_DISABLE_DOTENV": "1",
    "DEEPEVAL_UPDATE_WARNING_OPT_IN": "0",
    "DEEPEVAL_FILE_SYSTEM": "READ_ONLY",
}
CORRECTNESS = (
    "Compare the actual output with the expected output as answers to the input. Give a high score when "
    "the actual output states the same facts, a low one when it contradicts them, misses what was asked for "
    "or changes a number or a name. Wording, order and additional correct detail do not matter."
)


class _Unjudged(Exception):
    """One metric of a case has no result."""


class DeepEvalJudge:
    """Judges with a chat model. Nothing is loaded or sent until a case is judged."""

    def __init__(self, config: corpus.ChatModel, case_seconds: float) -> None:
        self._config = config
        self._case_seconds = case_seconds
        self.about: Mapping[str, Any] = {
            "backend": "deepeval",
            "version": VERSION,
            "deepeval": _deepeval_version(),
            **{name: value for name, value in identity(config).items() if name != "max_tokens"},
        }
        self.fingerprint = fingerprint(dict(self.about))

    @property
    def reliability(self) -> Mapping[str, Any]:
        """See ``Judge``: nobody has measured a model that users bring."""
        return {}

    def judge(self, cases: Sequence[Case]) -> list[Judgement | Failure]:
        """See ``Judge``. Calls run concurrently, as many as its ``concurrency``."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import_module("deepeval.metrics")  # takes seconds, which no case's budget should pay
        return asyncio.run(self._judge_all(cases))

    async def _judge_all(self, cases: Sequence[Case]) -> list[Judgement | Failure]:
        async with open_chat(self._config) as chat:
            # As many cases as calls: a case that has begun is not kept waiting by those behind it.
            slots = asyncio.Semaphore(self._config.concurrency)
            return await asyncio.gather(*(self._judge(chat, slots, case) for case in cases))

    async def _judge(self, chat: Chat, slots: asyncio.Semaphore, case: Case) -> Judgement | Failure:
        async with slots:
            started = time.perf_counter()
            model = _model(chat, self._config.model)
            try:
                async with asyncio.timeout(self._case_seconds):
                    names = case.metrics
                    found = await asyncio.gather(
                        *(_measure(name, model, case) for name in names), return_exceptions=True
                    )
            except TimeoutError:
                reason = f"no judgement within {self._case_seconds:g} s"
                return Failure(
                    reason, model.prompt_tokens, model.completion_tokens, time.perf_counter() - started
                )
            taken = (model.prompt_tokens, model.completion_tokens, time.perf_counter() - started)
            for name, result in zip(names, found, strict=True):
                if isinstance(result, ModelUnavailable):
                    raise result  # not this case's fault: the step is tried again
                if isinstance(result, BaseException):
                    return Failure(f"{name}: {str(result) or type(result).__name__}", *taken)
            return Judgement(
                {name: score for name, score in zip(names, found, strict=True) if isinstance(score, Score)},
                *taken,
            )


def _model(chat: Chat, name: str) -> Any:
    """A DeepEval model that calls the chat model and counts tokens."""
    from deepeval.models import DeepEvalBaseLLM

    class ChatModel(DeepEvalBaseLLM):
        prompt_tokens = 0
        completion_tokens = 0

        def load_model(self) -> Any:
            return self

        def get_model_name(self) -> str:
            return name

        def generate(self, *args: Any, **kwargs: Any) -> Any:
            # DeepEval demands the method; its own synchronous way would run one call at a time.
            raise TypeError("this judge is asynchronous: measure with a_measure")

        async def a_generate(self, *args: Any, **kwargs: Any) -> Any:
            prompt, schema = args[0], kwargs["schema"]
            found = await chat.complete([{"role": "user", "content": prompt}], schema)
            self.prompt_tokens += found.prompt_tokens
            self.completion_tokens += found.completion_tokens
            if isinstance(found, Failure):
                raise _Unjudged(found.reason)
            return found.value

    return ChatModel(name)


async def _measure(name: str, model: Any, case: Case) -> Score:
    metric = _metric(name, model)
    await metric.a_measure(_test_case(case), _show_indicator=False)
    if metric.score is None or not 0 <= metric.score <= 1:
        raise _Unjudged(f"the judge gave the score {metric.score!r}")
    evidence = tuple(_evidence(name, metric))
    if name == "answer_correctness":
        return Score(float(metric.score), str(metric.reason or ""), evidence)
    _check_statements([text for text, _ in evidence], case)
    return Score(_value(name, metric, evidence, case), str(metric.reason or ""), evidence)


def _value(name: str, metric: BaseMetric, evidence: Sequence[tuple[str, bool]], case: Case) -> float:
    """The metric's score, but a statement that the judge did not decide or passed over does not hold."""
    held = sum(holds for _, holds in evidence)
    if name == "contextual_precision":
        if len(evidence) != len(case.contexts):
            raise _Unjudged(f"the judge gave {len(evidence)} verdicts on {len(case.contexts)} contexts")
        return float(metric.score or 0.0)
    if name == "contextual_relevancy":
        silent = sum(not group.verdicts for group in getattr(metric, "verdicts_list", []))
        if silent:
            raise _Unjudged(f"the judge said nothing on {silent} of {len(case.contexts)} contexts")
    asked = len(sentences(case.reference or "")) if name == "contextual_recall" else 0
    return held / max(len(evidence), asked)


def _evidence(name: str, metric: BaseMetric) -> list[tuple[str, bool]]:
    """Statements with the verdict on each, where the metric has them."""
    from deepeval.metrics.base_metric import Verdict

    if name == "contextual_relevancy":
        listed = getattr(metric, "verdicts_list", [])
        verdicts = [verdict for group in listed for verdict in group.verdicts]
        statements = [verdict.statement for verdict in verdicts]
    else:
        verdicts = getattr(metric, "verdicts", None) or []
        statements = {
            "faithfulness": getattr(metric, "claims", None),
            "answer_relevancy": getattr(metric, "statements", None),
        }.get(name) or [verdict.reason or "" for verdict in verdicts]
    if len(statements) != len(verdicts):
        raise _Unjudged(f"the judge gave {len(verdicts)} verdicts on {len(statements)} statements")
    return [
        (str(text), verdict.verdict == Verdict.YES)
        for text, verdict in zip(statements, verdicts, strict=True)
    ]


def _check_statements(statements: Sequence[str], case: Case) -> None:
    """A judge that says nothing, or speaks of something else, such as the examples of its own prompt, has not judged.

    Raises:
        _Unjudged: there are no statements, or they share almost no words with the case.
    """
    if not statements:
        raise _Unjudged("the judge found no statement to judge")
    known = {*words(case.question), *words(case.answer or ""), *words(case.reference or "")}
    known.update(*(words(context) for context in case.contexts))
    said = set(words(" ".join(statements)))
    if len(said & known) < LEAST_SHARED * len(said):
        raise _Unjudged(f"the judge speaks of something else: “{statements[0][:100]}”")


def _metric(name: str, model: Any) -> Any:
    from deepeval import metrics
    from deepeval.test_case import SingleTurnParams

    plain = {
        "contextual_relevancy": metrics.ContextualRelevancyMetric,
        "faithfulness": metrics.FaithfulnessMetric,
        "answer_relevancy": metrics.AnswerRelevancyMetric,
        "contextual_precision": metrics.ContextualPrecisionMetric,
        "contextual_recall": metrics.ContextualRecallMetric,
    }
    if name in plain:
        return plain[name](model=model, include_reason=False)
    return metrics.GEval(
        name="answer_correctness",
        evaluation_steps=[CORRECTNESS],
        evaluation_params=[
            SingleTurnParams.INPUT,
            SingleTurnParams.ACTUAL_OUTPUT,
            SingleTurnParams.EXPECTED_OUTPUT,
        ],
        model=model,
    )


def _test_case(case: Case) -> LLMTestCase:
    from deepeval.test_case import LLMTestCase

    return LLMTestCase(
        input=case.question,
        actual_output=case.answer or "",
        expected_output=case.reference,
        retrieval_context=list(case.contexts),
    )


def _deepeval_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("deepeval")
    except PackageNotFoundError as error:
        raise ConfigurationError(
            f"a judge that is a chat model needs the extra 'quality': {install('quality')}"
        ) from error
