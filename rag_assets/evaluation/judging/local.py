"""Judge backend without a language model: sentence vectors, words, numbers and names, calibrated on human labels.

case → statements → vectors, all of a call together → support (``support``) and bearing on the
question → scores. Fast enough to judge every candidate, and measured like any other judge by
``benchmarks/judges.py``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.evaluation.answers.vectors import SentenceVectors
from rag_assets.evaluation.gold.words import spaced, words
from rag_assets.evaluation.judging.bearing import bearings, shared_words
from rag_assets.evaluation.judging.judge import Case, Judgement, Score
from rag_assets.evaluation.judging.support import STEM, Evidence, SupportModel, support_model
from rag_assets.inference.chat import Failure
from rag_assets.store.digest import fingerprint
from rag_assets.store.objects import ObjectStore

VERSION = 3  # raise when this file judges otherwise
_STATED = re.compile(r"(?<![\w-])\d+(?:[.,:]\d+)*(?![\d]|-[A-Za-z])")
_Vectors = Mapping[str, NDArray[np.float32]]


class LocalJudge:
    """Judges with the default embedding model and a fitted regression. ``objects`` keeps vectors."""

    def __init__(self, objects: ObjectStore | None = None) -> None:
        self._vectors = SentenceVectors(objects)
        self._model: SupportModel = support_model()
        self.about: Mapping[str, Any] = {
            "backend": "local",
            "version": VERSION,
            "model": self._vectors.model,
            "vectors": self._vectors.fingerprint,
            "weights": [*self._model.weights.tolist(), self._model.intercept, self._model.threshold],
            "bearing": {metric: [one.words, one.threshold] for metric, one in bearings().items()},
        }
        self.fingerprint = fingerprint({key: value for key, value in self.about.items() if key != "model"})

    @property
    def threshold(self) -> float:
        """Faithfulness from which an answer counts as supported."""
        return self._model.threshold

    @property
    def reliability(self) -> Mapping[str, Any]:
        """See ``Judge``: measured when its weights and thresholds were fitted."""
        relevancy = {metric: one.reliability for metric, one in bearings().items()}
        return {"faithfulness": self._model.reliability, **relevancy}

    def judge(self, cases: Sequence[Case]) -> list[Judgement | Failure]:
        """See ``Judge``. All sentences of a call are embedded together, each once."""
        started = time.perf_counter()
        texts: list[str] = []
        for case in cases:
            texts += [text for text in (case.question, case.answer, case.reference) if text is not None]
            for text in (*case.contexts, case.answer or "", case.reference or ""):
                texts += sentences(text)
        vectors = self._vectors.of(texts)
        judged = [self._judge(case, vectors) for case in cases]
        seconds = (time.perf_counter() - started) / max(1, len(cases))
        return [Judgement(scores, seconds=seconds) for scores in judged]

    def support(self, cases: Sequence[Case]) -> list[Score]:
        """How far the contexts of each case support its answer: faithfulness alone, for measuring the judge."""
        texts = [
            text for case in cases for part in (*case.contexts, case.answer or "") for text in sentences(part)
        ]
        vectors = self._vectors.of(texts)
        return [
            self._supported(case.answer or "", evidence_of(case.contexts, vectors), vectors) for case in cases
        ]

    def _judge(self, case: Case, vectors: _Vectors) -> dict[str, Score]:
        evidence = evidence_of(case.contexts, vectors)
        contexts = [(context, sentences(context)) for context in case.contexts]
        scores = {
            "contextual_relevancy": _relevancy("contextual_relevancy", contexts, case.question, vectors)
        }
        if case.answer is not None:
            scores["faithfulness"] = self._supported(case.answer, evidence, vectors)
            statements = [(one, [one]) for one in sentences(case.answer)]
            scores["answer_relevancy"] = _relevancy("answer_relevancy", statements, case.question, vectors)
        if case.reference is not None:
            found = self._supported(case.reference, evidence, vectors)
            held = [holds for _, holds in found.evidence]
            scores["contextual_recall"] = Score(
                sum(held) / max(1, len(held)),
                f"the contexts hold {sum(held)} of {len(held)} statements of the reference answer",
                found.evidence,
            )
            scores["contextual_precision"] = self._precision(case, case.reference, vectors)
            if case.answer is not None:
                similarity = float(vectors[case.answer] @ vectors[case.reference])
                scores["answer_correctness"] = correctness(case.answer, case.reference, similarity)
        return scores

    def _supported(self, text: str, evidence: Evidence, vectors: _Vectors) -> Score:
        statements = sentences(text)
        if not statements:
            return Score(0.0, "there is no statement to judge")
        features = [evidence.features(one, vectors[one]) for one in statements]
        lengths = [len(words(one)) for one in statements]
        single = [self._model.probability([found], [1]) for found in features]
        verdicts = tuple(
            (statement, probability >= self._model.threshold)
            for statement, probability in zip(statements, single, strict=True)
        )
        unsupported = [statement for statement, holds in verdicts if not holds]
        reason = f"unsupported: {unsupported[0]}" if unsupported else "the contexts support every statement"
        return Score(self._model.probability(features, lengths), reason, verdicts)

    def _precision(self, case: Case, reference: str, vectors: _Vectors) -> Score:
        """Mean of the precision at each context that supports part of the reference (as DeepEval's metric)."""
        verdicts = []
        for context in case.contexts:
            found = self._supported(reference, evidence_of([context], vectors), vectors)
            verdicts.append((context, any(holds for _, holds in found.evidence)))
        hits, total = 0, 0.0
        for rank, (_, holds) in enumerate(verdicts, start=1):
            if holds:
                hits += 1
                total += hits / rank
        reason = f"{hits} of {len(verdicts)} contexts support a statement of the reference answer"
        return Score(total / hits if hits else 0.0, reason, tuple(verdicts))


def correctness(answer: str, reference: str, similarity: float) -> Score:
    """How far an answer says what the reference says: meaning and words, and every number of the reference.

    An answer that holds the reference word for word is correct, however much else it says: answers are often
    short and quoting is what extraction does (Rajpurkar et al., SQuAD, EMNLP 2016, compare spans likewise).

    Args:
        similarity: cosine of the two texts.
    """
    spoken, asked = words(answer), words(reference)
    if asked and spaced(asked) in spaced(spoken):
        return Score(1.0, "the answer holds the reference word for word")
    said, wanted = (frozenset(word[:STEM] for word in found) for found in (spoken, asked))
    shared = len(said & wanted) / max(1, len(wanted))
    numbers, given = _numbers(reference), frozenset(_numbers(answer))
    kept = sum(number in given for number in numbers) / len(numbers) if numbers else 1.0
    value = kept * (max(0.0, similarity) + shared) / 2
    return Score(
        min(1.0, value),
        f"similar by {similarity:.2f}, {shared:.0%} of the reference's words"
        + (f", {kept:.0%} of its numbers" if numbers else ""),
    )


def _numbers(text: str) -> list[str]:
    """The numbers that a text states, without separators of thousands: no marks of lists, no names such as 10-Q."""
    stated = " ".join(sentences(text))
    return [number.replace(",", "") for number in _STATED.findall(stated)]


def evidence_of(contexts: Sequence[str], vectors: Mapping[str, NDArray[np.float32]]) -> Evidence:
    """The contexts' sentences with their vectors (``SentenceVectors.of``)."""
    found = list(dict.fromkeys(sentence for context in contexts for sentence in sentences(context)))
    matrix = np.stack([vectors[one] for one in found]) if found else np.zeros((0, 0), np.float32)
    return Evidence(found, matrix)


def _relevancy(
    metric: str,
    texts: Sequence[tuple[str, Sequence[str]]],
    question: str,
    vectors: _Vectors,
) -> Score:
    """Share of texts, given with their sentences, that bear on the question."""
    model, asked = bearings()[metric], vectors[question]
    verdicts = tuple(
        (
            text,
            model.bears(
                max((float(vectors[one] @ asked) for one in pieces), default=0.0),
                shared_words(question, text),
            ),
        )
        for text, pieces in texts
    )
    bearing = sum(bears for _, bears in verdicts)
    value = bearing / len(verdicts) if verdicts else 0.0
    return Score(value, f"{bearing} of {len(verdicts)} bear on the question", verdicts)
