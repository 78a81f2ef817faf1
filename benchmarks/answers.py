"""Answers from search to judgement on public question sets, questions that nobody can answer among them.

question set → documents and gold set → ``rag-assets run`` with the extractive generator and the local judge →
the report's figures. ``python -m benchmarks.answers DATA`` prints the generator's weights, fitted on one half.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.project import Project
from benchmarks.table import Benchmark, Column, Row, Setting, Table
from rag_assets.answers.extractive import best_sentence
from rag_assets.answers.sentences import sentences
from rag_assets.answers.vectors import SentenceVectors
from rag_assets.gold.file import append_lines
from rag_assets.gold.formats import Imported, read_beir, read_squad, write_documents

METRICS = (
    "answered",
    "abstention",
    "faithfulness",
    "answer_correctness",
    "contextual_recall",
    "contextual_precision",
)
CONTEXTS = 3


def question_sets(data: Path) -> dict[str, Imported]:
    """SQuAD 2 (half of it unanswerable) and CLAPNQ (likewise)."""
    return {
        "squad2": read_squad(data / "qa" / "squad2-unanswerable" / "small.json"),
        "clapnq": read_beir(data / "retrieval" / "clapnq"),
    }


def measure(setting: Setting) -> Mapping[str, Sequence[Row]]:
    """Rows ``answers`` and ``time``, one per set."""
    rows: list[Row] = []
    times: list[Row] = []
    for name, found in question_sets(setting.data).items():
        root = setting.scratch / name
        write_documents(root / "documents", found.documents)
        asked = found.questions[:20] if setting.quick else found.questions
        append_lines(root / "gold.jsonl", asked)
        evaluation = {"gold": str(root / "gold.jsonl"), "answers": {"contexts": CONTEXTS}}
        project = Project(root / "project", root / "documents", evaluation=evaluation)
        run = project.run()
        report = project.report()
        means = {
            row["metric"]: row["value"]
            for row in report["metrics"]
            if row["tag"] is None and row["mode"] == "hybrid"
        }
        rows.append(
            {
                "set": name,
                "documents": len(found.documents),
                "questions": len(asked),
                "unanswerable": sum(not question.answerable for question in asked),
                "recall@3": means["recall@3"],
                **{metric: means.get(metric) for metric in METRICS},
            }
        )
        seconds = sum(run.stages[stage]["seconds"] for stage in ("answers", "judgements"))
        bare = sum(cost["seconds"] for cost in report["costs"] if cost["step"] in ("answers", "judgements"))
        times.append(
            {
                "set": name,
                "questions": len(asked),
                "seconds": seconds,
                "bare": bare,
                "ratio": seconds / bare,
                "per_question": 1000 * seconds / len(asked),
                "peak": run.peak_bytes / 1e9,
            }
        )
        shutil.rmtree(root)
    return {"answers": rows, "time": times}


def fit(data: Path) -> None:
    """Print the weights of "the contexts answer the question", and what they reach on the other half."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    vectors = SentenceVectors()
    features, labels = [], []
    for found in question_sets(data).values():
        texts = [text for _, text in found.documents]
        known = dict(vectors.of([*texts, *(question.question for question in found.questions)]))
        known |= vectors.of(sentence for text in texts for sentence in sentences(text))
        matrix = np.stack([known[text] for text in texts])
        for question in found.questions:
            nearest = np.argsort(-(matrix @ known[question.question]))[:CONTEXTS]
            pieces = list(dict.fromkeys(piece for place in nearest for piece in sentences(texts[place])))
            features.append(best_sentence(question.question, pieces, known).features)
            labels.append(question.answerable)
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = np.array(features)[order], np.array(labels)[order]
    model = LogisticRegression().fit(x[::2], y[::2])
    reached = roc_auc_score(y[1::2], model.predict_proba(x[1::2])[:, 1])
    print(
        f"intercept {model.intercept_[0]:.2f}, weights {np.round(model.coef_[0], 2)}, AUROC of the rest {reached:.3f}"
    )


BENCHMARK = Benchmark(
    name="answers",
    title="Answers, end to end",
    text=(
        "Two public question sets about half of whose questions no document answers, through the whole pipeline with "
        "the default models: hybrid search, the extractive generator over three contexts, the local judge. Nothing "
        "here is a language model: these are the figures that one has to beat. The unanswerable questions of both sets "
        "were written to look answerable; telling them apart by words and vectors alone is hardly possible."
    ),
    tables=(
        Table(
            "answers",
            (
                Column("set", "set"),
                Column("documents", "documents", ","),
                Column("questions", "questions", ","),
                Column("unanswerable", "unanswerable", ","),
                Column("recall@3", "recall@3", ".3f"),
                *(Column(metric, metric.replace("_", " "), ".3f") for metric in METRICS),
            ),
            below=(
                "Answered: share of answerable questions that were answered. Abstention: share of the others that "
                "were not."
            ),
        ),
        Table(
            "time",
            (
                Column("set", "set"),
                Column("questions", "questions", ","),
                Column("seconds", "answers and judgements s", ".1f"),
                Column("bare", "bare generator and judge s", ".1f"),
                Column("ratio", "ratio", ".2f"),
                Column("per_question", "ms per question", ".0f"),
                Column("peak", "peak GB", ".2f"),
            ),
            above="What the steps take beside the bare calls of generator and judge (goal: a ratio of 1.1):",
        ),
    ),
    measure=measure,
)

if __name__ == "__main__":
    fit(Path(sys.argv[1]))
