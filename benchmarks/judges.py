"""Judges against people: how well each tells supported answers from unsupported ones.

human-labelled sets (context, response, label) → the judge's faithfulness → AUROC, agreement at the
threshold, calibration. One half of every set is for choosing (weights, threshold), the other for
measuring. ``python -m benchmarks.judges DATA`` writes the local judge's weights anew.

An OpenAI-compatible judge takes part when ``RAG_JUDGE_URL`` and ``RAG_JUDGE_MODEL`` name one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import relevancy
from benchmarks.agreement import auroc
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from rag_assets import corpus
from rag_assets.evaluation.answers.sentences import sentences
from rag_assets.evaluation.answers.vectors import SentenceVectors
from rag_assets.evaluation.gold.words import words
from rag_assets.evaluation.judging.deepeval_judge import DeepEvalJudge
from rag_assets.evaluation.judging.judge import Case
from rag_assets.evaluation.judging.local import LocalJudge, evidence_of
from rag_assets.evaluation.judging.support import FEATURES, aggregated
from rag_assets.inference.chat import Failure

SETS = ("wice", "mtrag-human", "begin")
LIMIT, QUICK_LIMIT = 2_000, 40
ENDPOINT_LIMIT = 100  # cases of a set that an endpoint is asked
BATCH = 64
WEIGHTS = Path(__file__).resolve().parents[1] / "rag_assets" / "evaluation" / "judging" / "support.json"
REGULARIZATION = 0.05  # of the logistic regression; any from 0.01 to 1 gives the same to two digits
BINS = 10


def labelled(setting: Setting, name: str) -> list[dict[str, Any]]:
    """Rows of a set in a fixed random order, so that halves are drawn alike."""
    path = setting.data / "faithfulness" / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[place] for place in order[: QUICK_LIMIT if setting.quick else LIMIT]]


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``judges`` and ``relevancy``: one per judge and set, measured on the second half of each set."""
    rows: list[Row] = []
    for name in SETS:
        cases = labelled(setting, name)[1::2]
        labels = np.array([case["label"] for case in cases])
        local = np.array([score.value for score in _local(cases)])
        rows.append(
            _row("plain word overlap", name, labels, np.array([overlap(case) for case in cases]), None)
        )
        rows.append(_row("local", name, labels, local, LocalJudge().threshold))
        url, model = os.environ.get("RAG_JUDGE_URL"), os.environ.get("RAG_JUDGE_MODEL")
        if url and model:
            rows.append(_endpoint_row(url, model, name, cases[:ENDPOINT_LIMIT]))
    return {"judges": rows, "relevancy": relevancy.rows(setting)}


def overlap(case: Mapping[str, Any]) -> float:
    """Share of the response's words that stand in the context: what every judge has to beat."""
    said = words(case["response"])
    return len(set(said) & set(words(case["context"]))) / max(1, len(set(said)))


def fit(setting: Setting) -> None:
    """Fit the local judge's weights and threshold on the first halves; measure on the second; write both."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    found = {name: labelled(setting, name) for name in SETS}
    features = {name: _features(cases) for name, cases in found.items()}
    labels = {name: np.array([case["label"] for case in cases]) for name, cases in found.items()}
    x = np.concatenate([features[name][::2] for name in SETS])
    y = np.concatenate([labels[name][::2] for name in SETS])
    # Every set counts the same, whatever its size.
    weight = np.concatenate([np.full(len(labels[name][::2]), 1 / len(labels[name][::2])) for name in SETS])
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=REGULARIZATION, max_iter=1000)
    model.fit(scaler.transform(x), y, sample_weight=weight / weight.mean())
    weights = model.coef_[0] / scaler.scale_
    intercept = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    said = {name: 1 / (1 + np.exp(-(features[name] @ weights + intercept))) for name in SETS}
    chosen = np.concatenate([said[name][::2] for name in SETS])
    threshold = max(np.linspace(0.2, 0.8, 61), key=lambda t: _balanced(y, chosen >= t, weight))
    record = {
        "features": [f"{how} {name}" for how in ("mean", "worst") for name in FEATURES],
        "weights": [round(float(value), 6) for value in weights],
        "intercept": round(intercept, 6),
        "threshold": round(float(threshold), 3),
        "reliability": {
            name: {
                "auroc": round(auroc(labels[name][1::2], said[name][1::2]), 3),
                "agreement": round(float(np.mean((said[name][1::2] >= threshold) == labels[name][1::2])), 3),
                "cases": len(labels[name][1::2]),
            }
            for name in SETS
        },
    }
    WEIGHTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def calibration_error(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Expected calibration error over ten bins of equal width (Naeini, Cooper and Hauskrecht, AAAI 2015)."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == place).mean() * abs(labels[bins == place].mean() - scores[bins == place].mean())
        for place in range(BINS)
        if (bins == place).any()
    ]
    return float(sum(gaps))


def _local(cases: Sequence[Mapping[str, Any]]) -> list[Any]:
    judge = LocalJudge()
    asked = [Case("", (case["context"],), case["response"], None) for case in cases]
    return [
        score
        for start in range(0, len(asked), BATCH)
        for score in judge.support(asked[start : start + BATCH])
    ]


def _features(cases: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    vectors = SentenceVectors()
    rows = []
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        parts = [(sentences(case["context"]), sentences(case["response"])) for case in batch]
        known = vectors.of(text for pair in parts for part in pair for text in part)
        for case, (_, statements) in zip(batch, parts, strict=True):
            evidence = evidence_of([case["context"]], known)
            found = [evidence.features(one, known[one]) for one in statements] or [np.zeros(len(FEATURES))]
            rows.append(aggregated(found, [len(words(one)) for one in statements] or [1]))
    return np.array(rows)


def _endpoint_row(url: str, model: str, name: str, cases: Sequence[Mapping[str, Any]]) -> Row:
    judge = DeepEvalJudge(corpus.ChatEndpoint(type="openai", url=url, model=model), case_seconds=300)
    asked = [Case("Is the response supported?", (case["context"],), case["response"], None) for case in cases]
    results = judge.judge(asked)
    judged = [
        (case["label"], result.scores["faithfulness"].value)
        for case, result in zip(cases, results, strict=True)
        if not isinstance(result, Failure)
    ]
    labels, scores = (np.array(column) for column in zip(*judged, strict=True))
    return {**_row(model, name, labels, scores, 0.5), "unjudged": len(cases) - len(judged)}


def _row(
    judge: str, name: str, labels: NDArray[Any], scores: NDArray[Any], threshold: float | None
) -> dict[str, Any]:
    return {
        "judge": judge,
        "set": name,
        "cases": len(labels),
        "auroc": auroc(labels, scores),
        "agreement": None if threshold is None else float(np.mean((scores >= threshold) == labels)),
        "majority": float(max(labels.mean(), 1 - labels.mean())),
        "calibration": None if threshold is None else calibration_error(labels, scores),
        "unjudged": 0,
    }


def _balanced(labels: NDArray[Any], passed: NDArray[Any], weight: NDArray[Any]) -> float:
    """Mean of sensitivity and specificity, each case with its weight."""
    positive = labels == 1
    return float(
        (weight * (passed & positive)).sum() / (weight * positive).sum()
        + (weight * (~passed & ~positive)).sum() / (weight * ~positive).sum()
    )


BENCHMARK = Benchmark(
    name="judges",
    title="Judges against people",
    text=(
        "Responses that people labelled as supported by their context or not: claims of Wikipedia against the cited "
        "page (wice), answers of retrieval systems (mtrag-human), turns of dialogues (begin). Weights and threshold "
        "were chosen on one half of each set; these are the others. AUROC 0.5 is chance; a judge that does not beat "
        "plain word overlap measures nothing."
    ),
    tables=(
        Table(
            "judges",
            (
                Column("judge", "judge"),
                Column("set", "set"),
                Column("cases", "cases", ","),
                Column("auroc", "AUROC", ".3f"),
                Column("agreement", "agreement at the threshold", ".3f"),
                Column("majority", "largest class", ".3f"),
                Column("calibration", "calibration error", ".3f"),
                Column("unjudged", "not judged", ","),
            ),
        ),
        relevancy.TABLE,
    ),
    measure=measure,
)

if __name__ == "__main__":
    fit(Setting(Path(sys.argv[1]), Path(), quick=False))
